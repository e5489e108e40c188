"""The Faust app as a process of its own, on a real Kafka: what goes into the topics, and what it tells."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.catalog import CHANGELOGS, COUNTS, DEADLETTERS, REJECTIONS, SIGNALS, TALLIES, Changelog
from schemas.events import DeadLetter, Rejection, Signal
from services.cli import site
from services.core.burials import RUN
from services.core.errors import StartError
from services.core.signals import Kind
from services.runtime import groups
from services.runtime.broker import Broker
from services.runtime.kafka import KafkaBus
from services.runtime.provision import make_topics, require_topics
from services.signals.config import APP
from services.signals.serve import EXIT_WITHIN
from tests.eventually import eventually
from tests.house.gatepost import gatepost

WITHIN = 45.0  # seconds; a member that was killed is missed after ten


class App:
    """`gatepost run signals`, which can be stopped, killed, and started again."""

    def __init__(self, kafka: str, folder: Path, **environ: str) -> None:
        self._environ = {
            **os.environ,
            "GATEPOST_KAFKA": kafka,
            "GATEPOST_STORE": str(folder / "objects"),
            "GATEPOST_SIGNALS_ADDRESS_RATE": "0",
            **environ,
        }
        self._file = folder / "signals.log"
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.log: list[str] = []

    async def start(self, *module: str) -> None:
        command = module or ("services.cli", "run", "signals")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *command, env=self._environ, stderr=asyncio.subprocess.PIPE
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self.log.append(line.decode("utf-8", "replace").rstrip())
            with self._file.open("a") as file:  # stays when a test fails
                file.write(f"{self.log[-1]}\n")

    def said(self, text: str) -> int:
        return sum(text in line for line in self.log)

    async def ended(self, within: float) -> int:
        """Return the code with which the process ended by itself; kill it when it didn't."""
        assert self._process is not None
        try:
            await eventually(lambda: not self.running, within, every=0.1)
        finally:
            code = await self.end(signal.SIGKILL)
        return code

    async def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        assert self._reading is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        code = await asyncio.wait_for(self._process.wait(), 30)
        await asyncio.wait_for(self._reading, 10)
        return code

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None


@pytest.fixture
async def bus(kafka: str) -> AsyncIterator[KafkaBus]:
    """Return the bus with which a test feeds the app."""
    bus = KafkaBus(kafka, "signals-test")
    await bus.start()
    yield bus
    await bus.close()


@pytest.fixture
async def app(kafka: str, tmp_path: Path) -> AsyncIterator[App]:
    """Return the running app; its counts and its group are those of the whole run, so each test has its own clients."""
    app = App(kafka, tmp_path)
    await app.start()
    yield app
    if app.running:
        assert await app.end(signal.SIGTERM) == 0, app.log
    assert not app.said("Traceback"), "\n".join(app.log)


def a_network() -> str:
    """Return the first three parts of a network that no other test has used."""
    return f"198.{random.randrange(256)}.{random.randrange(256)}"


def refused(client: str, count: int = 1, *, ago: float = 0.0) -> list[Rejection]:
    return [
        Rejection(
            client_ip=client,
            at=time.time() - ago,
            reason="unknown-recipient",
            reply="550 5.1.1 No such recipient here",
            reverse_path=f"{client}-{n}@sender.test",
            recipient=f"guess{n}@example.test",
            customer="example",
        )
        for n in range(count)
    ]


class Told:
    """Every signal that was published, read once while it comes: a test asks this, not the broker."""

    def __init__(self) -> None:
        self.signals: list[Signal] = []

    async def follow(self, bus: KafkaBus, caught_up: asyncio.Event) -> None:
        async for record in bus.follow(SIGNALS, caught_up):
            if isinstance(record.event, Signal):
                self.signals.append(record.event)

    def of(self, subject: str, kind: str) -> list[Signal]:
        return [signal for signal in self.signals if (signal.subject, signal.kind) == (subject, kind)]

    async def until(self, subject: str, kind: str, within: float = WITHIN) -> Signal:
        await eventually(lambda: bool(self.of(subject, kind)), within, every=0.05)
        return self.of(subject, kind)[-1]


@contextlib.asynccontextmanager
async def telling(bus: KafkaBus) -> AsyncIterator[Told]:
    told, caught_up = Told(), asyncio.Event()
    following = asyncio.create_task(told.follow(bus, caught_up))
    try:
        await eventually(caught_up.is_set, WITHIN, every=0.05)
        yield told
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@pytest.fixture
async def told(bus: KafkaBus) -> AsyncIterator[Told]:
    """Return what was told, and what will be."""
    async with telling(bus) as told:
        yield told


async def test_an_address_that_guesses_is_told(bus: KafkaBus, told: Told, app: App) -> None:
    client = f"{a_network()}.7"
    await bus.publish(refused(client, 25))
    signal_ = await told.until(client, "harvest-address")
    assert signal_.count == 25
    assert signal_.until == pytest.approx(time.time() + 1_800, abs=60)
    assert app.said(f"kind={signal_.kind}")
    assert not told.of(client, "harvest-sender")  # each guess had a sender of its own


async def test_a_harvester_spread_over_a_network_is_told_though_no_address_stands_out(
    bus: KafkaBus, told: Told, app: App
) -> None:
    network = a_network()
    for n in range(30):  # two guesses each, one publish an address: as 30 doors would report them
        await bus.publish(refused(f"{network}.{n}", 2))
    signal_ = await told.until(f"{network}.0/24", "harvest-network")
    assert signal_.count == 60
    assert not any(told.of(f"{network}.{n}", "harvest-address") for n in range(30))
    assert app.running


async def kill_broker(broker: Broker) -> None:
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    await broker.wait_exit()


async def all_committed(kafka: str) -> None:
    """Return once the app has committed past everything in its topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await admin.start()
    await consumer.start()
    slots = [TopicPartition(topic.name, n) for topic in (REJECTIONS, TALLIES) for n in range(topic.partitions)]
    try:

        async def is_committed() -> bool:
            ends = await consumer.end_offsets(slots)
            at = await admin.list_consumer_group_offsets(APP)
            return all(end == 0 or (slot in at and at[slot].offset >= end) for slot, end in ends.items())

        await eventually(is_committed, WITHIN, every=0.2)
    finally:
        await consumer.stop()
        await admin.close()


async def test_counts_outlive_a_kill(bus: KafkaBus, told: Told, app: App, kafka: str) -> None:
    client = f"{a_network()}.7"
    await bus.publish(refused(client, 20))
    await eventually(lambda: app.said("event=counting") == 1, WITHIN)
    await all_committed(kafka)
    await app.end(signal.SIGKILL)
    await bus.publish(refused(client, 5))  # alone too few: only with those from before the kill is it enough
    await app.start()
    assert (await told.until(client, "harvest-address")).count == 25  # neither lost nor counted twice


async def test_its_tables_are_thrown_away_and_counted_again(
    bus: KafkaBus, told: Told, app: App, kafka: str, tmp_path: Path
) -> None:
    client, data = f"{a_network()}.7", tmp_path / "data"
    data.mkdir()
    site.save(data, site.Site(kafka=kafka, store="", database="", smtp=""))
    await bus.publish(refused(client, 20))
    await eventually(lambda: app.said("event=counting") == 1, WITHIN)
    await all_committed(kafka)
    running = await gatepost("signals", "rebuild", "--data", str(data))
    assert (running.code, running.out) == (1, "")
    assert f"{APP} has 1 members: stop them" in running.err
    assert await app.end(signal.SIGTERM) == 0
    thrown = await gatepost("signals", "rebuild", "--data", str(data))
    assert thrown.code == 0, thrown.err
    assert thrown.out.startswith("its tables are empty; the next start counts ")
    changelogs = await groups.offsets(kafka, cast("Any", CHANGELOGS), groups=False)
    assert all(each.first == each.end for each in changelogs)
    await bus.publish(refused(client, 5))  # alone too few
    await app.start()
    assert (await told.until(client, "harvest-address")).count == 25  # none lost with the tables, and none twice


async def test_what_happened_while_it_was_away_is_counted_and_what_is_long_past_is_not(
    bus: KafkaBus, told: Told, app: App
) -> None:
    await eventually(lambda: app.said("event=counting") == 1, WITHIN)
    assert await app.end(signal.SIGTERM) == 0
    recent, past = f"{a_network()}.7", f"{a_network()}.8"
    await bus.publish(refused(past, 100, ago=3_600))
    await bus.publish(refused(recent, 25))
    await app.start()
    await told.until(recent, "harvest-address")
    assert told.of(past, "harvest-address") == []


async def test_a_record_that_cannot_be_read_is_buried_and_the_app_goes_on(
    bus: KafkaBus, told: Told, app: App, kafka: str
) -> None:
    network = a_network()
    junk = f"not an event {network}".encode()
    odd = msgspec.structs.replace(refused(f"{network}.1")[0], client_ip=f"somewhere {network}")
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        for topic in (REJECTIONS, TALLIES):
            await producer.send_and_wait(topic.name, junk, b"junk", partition=0)
            await producer.send_and_wait(topic.name, None, b"junk", partition=0)
    finally:
        await producer.stop()
    await bus.publish([odd])

    async def buried() -> bool:
        letters = [r.event async for r in bus.read(DEADLETTERS) if isinstance(r.event, DeadLetter)]
        ours = [letter for letter in letters if letter.group == APP]
        assert app.running
        values = [base64.b64decode(letter.value) for letter in ours]
        empty = {letter.topic for letter in ours if not letter.value}
        return values.count(junk) >= 2 and any(network.encode() in v for v in values if v != junk) and len(empty) == 2

    await eventually(buried, WITHIN, every=0.5)
    await bus.publish(refused(f"{network}.7", 25))
    await told.until(f"{network}.7", "harvest-address")


async def test_an_app_that_can_read_nothing_stops_and_leaves_all_in_place(
    bus: KafkaBus, told: Told, kafka: str, tmp_path: Path
) -> None:
    """A deploy gone wrong must not drain a topic into the bin, of signals no less than of the others."""
    app, mark = App(kafka, tmp_path), a_network()
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        for n in range(RUN + 5):
            await producer.send_and_wait(REJECTIONS.name, f"{mark} {n}".encode(), b"junk", partition=0)
    finally:
        await producer.stop()
    for _ in range(2):  # the next start finds them where they are
        await app.start()
        assert await app.ended(WITHIN) == 1, app.log
    said = f"{APP} could not handle {RUN} records in a row, the last of them at {REJECTIONS.name} 0/"
    assert app.said(said) == 2, app.log
    letters = [record.event async for record in bus.read(DEADLETTERS) if isinstance(record.event, DeadLetter)]
    assert not any(base64.b64decode(letter.value).startswith(mark.encode()) for letter in letters)
    await passed_over(kafka, REJECTIONS.name, 0)
    await app.start()
    client = f"{a_network()}.7"
    await bus.publish(refused(client, 25))
    await told.until(client, "harvest-address")
    assert await app.end(signal.SIGTERM) == 0


async def passed_over(kafka: str, topic: str, partition: int) -> None:
    """Put the group behind what lies in a partition, as an operator does who has looked at it."""
    slot = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=APP, enable_auto_commit=False)
    await consumer.start()
    consumer.assign([slot])
    end = (await consumer.end_offsets([slot]))[slot]

    async def committed() -> bool:
        with contextlib.suppress(KafkaError):  # a member that did not say farewell is still in the group
            await consumer.commit({slot: end})
            return True
        return False

    try:
        await eventually(committed, WITHIN, every=0.5)
    finally:
        await consumer.stop()


async def test_two_members_share_the_work(bus: KafkaBus, told: Told, app: App, kafka: str, tmp_path: Path) -> None:
    network, later = a_network(), a_network()
    second = App(kafka, tmp_path)
    await eventually(lambda: app.said("event=counting") == 1, WITHIN)
    await bus.publish([event for n in range(15) for event in refused(f"{network}.{n}", 2)])
    await second.start()
    await eventually(lambda: second.said("event=counting") == 1, WITHIN)
    await bus.publish([event for n in range(15, 30) for event in refused(f"{network}.{n}", 2)])
    await told.until(f"{network}.0/24", "harvest-network")
    await second.end(signal.SIGKILL)
    await bus.publish([event for n in range(30) for event in refused(f"{later}.{n}", 2)])
    await told.until(f"{later}.0/24", "harvest-network")


async def test_a_partition_that_faust_does_not_read_ends_the_process_and_the_next_reads_it(
    bus: KafkaBus, told: Told, kafka: str, tmp_path: Path
) -> None:
    app, client = App(kafka, tmp_path, GATEPOST_SIGNALS_STANDSTILL="4"), f"{a_network()}.7"
    await app.start("tests.house.signals_that_stall")
    await eventually(lambda: app.said("event=counting") == 1, WITHIN, every=0.1)
    await bus.publish(refused(client, 25))
    assert await app.ended(WITHIN) == 1, app.log
    assert app.said("event=standstill topic=mail.rejections.v1 partition=") >= 1
    assert app.said("is not read on; the app must be started again") == 1
    assert not told.of(client, "harvest-address")
    await app.start()  # as `gatepost up` and Kubernetes do
    assert (await told.until(client, "harvest-address")).count == 25
    assert await app.end(signal.SIGTERM) == 0
    assert not app.said("Traceback"), "\n".join(app.log)


async def test_a_stop_that_faust_does_not_hear_is_cut_short_and_clean(kafka: str, tmp_path: Path) -> None:
    app = App(kafka, tmp_path)
    await app.start("tests.house.signals_that_do_not_end")
    await eventually(lambda: app.said("event=counting") == 1, WITHIN, every=0.1)
    began = time.monotonic()
    assert await app.end(signal.SIGTERM) == 0, app.log
    assert time.monotonic() - began < EXIT_WITHIN + 5
    assert app.said("event=stop-cut-short") == 1
    assert not app.said("Traceback"), "\n".join(app.log)


async def test_a_start_reads_what_came_while_the_counts_were_recovered(
    bus: KafkaBus, told: Told, kafka: str, tmp_path: Path
) -> None:
    """Faust passed over it: one start in six, when nothing of the partition was committed yet."""
    app, clients = App(kafka, tmp_path), [f"{a_network()}.7" for _ in range(12)]
    await app.start()
    await eventually(lambda: app.said("event=counting") == 1, WITHIN, every=0.1)
    for client in clients:  # all the while until the counts are back, over all partitions
        await bus.publish(refused(client, 25))
        await asyncio.sleep(0.2)
    for client in clients:
        await told.until(client, "harvest-address")
    assert await app.end(signal.SIGTERM) == 0


async def test_a_broker_that_is_killed_is_waited_for_and_a_stop_is_heard_meanwhile(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker")
    address = await broker.start()
    await make_topics(address)
    app, bus = App(address, tmp_path), KafkaBus(address, "signals-test")
    client = f"{a_network()}.7"
    try:
        await app.start()
        await bus.start()
        await eventually(lambda: app.said("event=counting") == 1, WITHIN)
        await bus.publish(refused(client, 20))
        await all_committed(address)
        await kill_broker(broker)
        await asyncio.sleep(2)
        await broker.start()
        await bus.publish(refused(client, 5), within=30)
        async with telling(bus) as told:
            await told.until(client, "harvest-address")
        await bus.close()
        await kill_broker(broker)
        began = time.monotonic()
        await app.end(signal.SIGTERM)
        assert time.monotonic() - began < EXIT_WITHIN + 5, app.log
        assert not app.said("Traceback"), "\n".join(app.log)
    finally:
        if app.running:
            await app.end(signal.SIGKILL)
        await bus.close()
        await broker.stop()


async def test_the_command_lists_what_is_active(bus: KafkaBus, kafka: str, tmp_path: Path) -> None:
    now, network = time.time(), a_network()
    signals = [
        Signal(subject=f"{network}.{n}", kind=Kind.ABUSE_RATE, count=9, window_s=60.0, at=now, until=now + 60 - 90 * n)
        for n in range(2)
    ]
    await bus.publish(signals)
    site.save(tmp_path, site.Site(kafka=kafka, store="", database="", smtp="", mailbox=""))
    answer = await gatepost("signals", "--data", str(tmp_path))
    assert answer.code == 0, answer.err
    assert f"{network}.0" in answer.out
    assert f"{network}.1" not in answer.out  # lapsed


async def test_every_topic_that_faust_needs_is_made_beforehand(kafka: str) -> None:
    await require_topics(kafka, (TALLIES, SIGNALS, COUNTS))
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        found = {name for name in await admin.list_topics() if APP in name}
        assert found == {each.name for each in CHANGELOGS}
    finally:
        await admin.close()


async def test_a_missing_topic_is_one_clear_line_and_no_crash_loop(kafka: str) -> None:
    missing = Changelog("gatepost-signals-other-changelog", 1, ("signals",), 6)
    with pytest.raises(StartError, match="gatepost-signals-other-changelog is missing"):
        await require_topics(kafka, (missing,))
    cut = Changelog(COUNTS.name, 1, ("signals",), 3)
    with pytest.raises(StartError, match=f"{COUNTS.partitions} partitions, 3 are needed"):
        await require_topics(kafka, (cut,))
