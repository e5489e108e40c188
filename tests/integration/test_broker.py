"""The embedded broker for real: what it keeps over a stop and a kill, with whom it ends, and why it can't start."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.core.errors import StartError
from services.runtime.broker import Broker, command_line, running
from services.runtime.ports import free_ports, is_free

TOPIC = "round.trip.v1"
WITHIN = 30.0  # seconds; far more than anything here takes


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN):
        while not true():  # noqa: ASYNC110 - it is another process that changes; there is no event
            await asyncio.sleep(0.02)


async def create(address: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def publish(address: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        async with asyncio.timeout(WITHIN):
            for value in values:
                await producer.send_and_wait(TOPIC, value)
    finally:
        await producer.stop()


async def read(address: str) -> list[bytes]:
    """Read the topic as a member of a consumer group, so that the coordinator has to work too."""
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=address, group_id="readers", auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(WITHIN):
            while not consumer.assignment():  # noqa: ASYNC110 - the group is the broker's; there is no event
                await asyncio.sleep(0.02)
            partition = TopicPartition(TOPIC, 0)
            await consumer.seek_to_beginning(partition)
            end = (await consumer.end_offsets([partition]))[partition]
            values: list[bytes] = []
            while await consumer.position(partition) < end:
                values += [record.value for record in (await consumer.getmany(timeout_ms=500)).get(partition, [])]
            return values
    finally:
        await consumer.stop()


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with running(tmp_path / "data") as broker:
        yield broker


async def test_a_stop_and_a_start_keep_the_log_and_the_address(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as broker:
        address = await broker.start()  # runs already: the same address, nothing else
        await create(address)
        await publish(address, b"one", b"two")
        assert await read(address) == [b"one", b"two"]
    assert broker.pid is None
    async with running(tmp_path / "data") as again:
        assert await again.start() == address
        await publish(address, b"three")
        assert await read(address) == [b"one", b"two", b"three"]


async def test_a_killed_broker_is_seen_and_comes_back_with_what_it_acknowledged(broker: Broker) -> None:
    address = await broker.start()
    await create(address)
    await publish(address, *(b"%d" % i for i in range(50)))
    first = broker.pid
    assert first
    os.kill(first, signal.SIGKILL)
    assert await asyncio.wait_for(broker.wait_exit(), WITHIN) == -signal.SIGKILL
    assert await broker.start() == address
    assert broker.pid not in {None, first}
    assert await read(address) == [b"%d" % i for i in range(50)]


async def test_a_terminals_interrupt_is_for_the_owner_alone(broker: Broker) -> None:
    assert broker.pid
    assert os.getpgid(broker.pid) == os.getpgid(0)
    for number in (signal.SIGINT, signal.SIGHUP):
        os.kill(broker.pid, number)
    address = await broker.start()
    await create(address)
    await publish(address, b"still here")
    assert await read(address) == [b"still here"]


OWNER = """
import asyncio, pathlib, sys
from services.runtime.broker import running

async def main():
    async with running(pathlib.Path(sys.argv[1])) as broker:
        print(broker.pid, await broker.start(), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def owner(data: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, str]]:
    """Run another process that owns a broker; yield it, the broker's pid and its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(data), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        pid, address = (await asyncio.wait_for(process.stdout.readline(), 120)).decode().split()
        yield process, int(pid), address
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_a_broker_ends_with_its_owner_and_its_folder_can_be_used_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with owner(data) as (process, pid, address):
        await create(address)
        await publish(address, b"before")
        assert str(data) in (command_line(pid) or "")
        process.kill()
        await process.wait()
        await until(lambda: str(data) not in (command_line(pid) or ""))
    async with running(data) as broker:
        assert await broker.start() == address
        assert await read(address) == [b"before"]


async def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with owner(data) as (_, pid, _address):
        second = Broker(data)
        with pytest.raises(StartError, match="another Gatepost runs on"):
            await second.start()
        assert command_line(pid)
        await second.stop()  # takes nothing from the first
        assert (data / "broker.pid").read_text() == str(pid)


async def test_a_port_that_was_asked_for_and_is_taken_is_said(tmp_path: Path) -> None:
    [port] = free_ports(1)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
    async with server:
        assert not is_free(port)
        with pytest.raises(StartError, match=f"port {port} of 127.0.0.1 is in use"):
            await Broker(tmp_path / "data", port).start()


async def test_the_port_of_last_time_is_replaced_when_it_is_taken(tmp_path: Path) -> None:
    [port] = free_ports(1)
    (tmp_path / "broker.json").write_text(f'{{"port":{port},"controller_port":{port}}}')
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
    async with server, running(tmp_path) as broker:
        address = await broker.start()
        assert address != f"127.0.0.1:{port}"
        await create(address)


async def test_a_broker_that_dies_at_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "data", extra={"log.segment.bytes": "plenty"})
    with pytest.raises(StartError, match=r"exit 1\): .*plenty.* log\.segment\.bytes") as failure:
        await broker.start()
    assert "\n" not in str(failure.value)
    assert broker.pid is None
    async with running(tmp_path / "data"):  # the folder is free again
        pass


async def test_a_log_that_is_damaged_says_where(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    (tmp_path / "kafka" / "meta.properties").write_text("garbage")
    with pytest.raises(StartError, match=r"died at start \(exit 1\): .*node ID not found in .*kafka$"):
        await Broker(tmp_path).start()


@pytest.mark.parametrize(
    ("name", "said"),
    [("file/data", "not a directory"), ("a,b", "a comma in its name")],
)
async def test_a_folder_that_can_not_be_used_is_said(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=said):
        await Broker(tmp_path / name).start()
