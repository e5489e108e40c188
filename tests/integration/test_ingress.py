"""The front door under faults: whatever breaks, and whenever, object and event are both there or both not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Iterable
from pathlib import Path

import pytest
import uvloop

from schemas import catalog
from schemas.events import Customer, Domain, Event
from services.core.clock import SystemClock
from services.core.directory import Directory
from services.core.errors import BusUnavailable, ConfigError, StartError, StoreUnavailable
from services.core.signals import Signals
from services.core.stored import unpack
from services.ingress import app
from services.ingress.config import IngressConfig
from services.ingress.server import Ingress
from services.runtime.bus import Tombstone
from services.runtime.fakes import MemoryBus
from services.runtime.fakes_dns import FakeDns
from services.runtime.fakes_store import MemoryStore
from tests.dialogs.door import CONFIG, TO_DATA, Client, Door, connected, directory, opened
from tests.dialogs.script import Script
from tests.eventually import eventually

MESSAGE = b"Subject: s3cret\r\n\r\nbody\r\n.\r\n"


async def swept(door: Door, keys: int) -> None:
    """Return once so many keys were deleted, and nothing is left. A call is recorded before it has its effect."""
    await eventually(lambda: [call for call, _ in door.store.calls].count("delete") >= keys and not door.store.objects)


class HungBus(MemoryBus):
    """Takes an event and never answers before the time is up: a broker that is stuck."""

    def __init__(self) -> None:
        super().__init__()
        self.hung = True
        self.waiting = asyncio.Event()

    async def publish(self, items: Iterable[Event | Tombstone], *, within: float = 10.0) -> None:
        if self.hung:
            self.waiting.set()
            await asyncio.sleep(within)
            raise BusUnavailable("no answer in time")
        await super().publish(items, within=within)


async def test_a_hung_broker_is_451_in_time_and_the_object_is_deleted() -> None:
    async with opened(bus=HungBus(), changes={"publish_timeout": 0.3}) as door, connected(door) as client:
        await client.to_data()
        await client.send(MESSAGE)
        assert (await client.line()).startswith("451 4.3.0")
        await swept(door, 1)
        assert [call for call, _ in door.store.calls] == ["put", "delete"]


async def test_a_hung_store_is_451_in_time_and_what_it_writes_late_is_deleted() -> None:
    async with opened(changes={"store_timeout": 0.3}) as door, connected(door) as client:
        gate = door.store.hold("put")
        await client.to_data()
        await client.send(MESSAGE)
        assert (await client.line()).startswith("451 4.3.0")
        gate.set()
        await swept(door, 1)
        assert not door.received()


async def test_451_comes_within_the_limit_for_store_and_broker_together() -> None:
    slow = {"store_timeout": 0.4, "publish_timeout": 5.0, "accept_timeout": 0.6}
    async with opened(bus=HungBus(), changes=slow) as door, connected(door) as client:
        door.store.delay("put", 0.3)
        await client.to_data()
        began = asyncio.get_running_loop().time()
        await client.send(MESSAGE)
        assert (await client.line()).startswith("451")
        assert asyncio.get_running_loop().time() - began < 2  # far from the five seconds of the broker alone
    assert (CONFIG.accept_timeout, CONFIG.publish_timeout) == (9.5, 8.0)


async def test_a_put_that_failed_but_landed_is_deleted() -> None:
    async with opened() as door, connected(door) as client:
        door.store.fail("put", StoreUnavailable("the answer was lost"), landed=True)
        await client.to_data()
        await client.send(MESSAGE)
        assert (await client.line()).startswith("451")
        await swept(door, 1)


async def test_one_failed_object_of_several_takes_the_others_with_it() -> None:
    async with opened() as door, connected(door) as client:
        door.store.fail("put", StoreUnavailable("one of two"))
        await client.until("220")
        await client.send(TO_DATA.replace("DATA\r\n", "RCPT TO:<zoe@zeta.test>\r\nDATA\r\n"))
        await client.until("354")
        await client.send(MESSAGE)
        assert (await client.line()).startswith("451")
        await swept(door, 2)
        assert not door.received()


async def test_the_sweep_goes_on_until_the_store_lets_it() -> None:
    async with opened() as door, connected(door) as client:
        door.bus.down = True
        door.store.fail("delete", StoreUnavailable("not now"), times=2)
        await client.to_data()
        await client.send(MESSAGE)
        assert (await client.line()).startswith("451")
        await eventually(lambda: not door.store.objects)
        assert [call for call, _ in door.store.calls] == ["put", "delete", "delete", "delete"]


async def test_a_lost_acknowledgement_is_451_and_leaves_an_event_without_object() -> None:
    async with opened() as door, connected(door) as client:
        door.bus.lose_acks = True
        await client.to_data()
        await client.send(MESSAGE)
        assert (await client.line()).startswith("451")
        await swept(door, 1)
        assert len(door.received()) == 1  # downstream finds no object: withdrawn


@pytest.mark.parametrize("bus_down", [False, True])
@pytest.mark.parametrize("while_in", ["put", "publish"])
async def test_a_client_that_hangs_up_leaves_object_and_event_or_neither(while_in: str, *, bus_down: bool) -> None:
    bus = HungBus()
    async with opened(bus=bus, changes={"publish_timeout": 0.5}) as door:
        bus.hung = while_in == "publish"
        gate = door.store.hold("put")
        async with connected(door) as client:
            await client.to_data()
            await client.send(MESSAGE)
            await eventually(lambda: bool(door.store.calls))
            if while_in == "publish":
                gate.set()
                await bus.waiting.wait()
        bus.down = bus_down
        await asyncio.sleep(0.1)  # the server learns of it, in the middle of its work
        gate.set()
        if bus_down or bus.hung:
            await swept(door, 1)
            assert not door.received()
        else:
            await eventually(lambda: len(door.received()) == 1)
            assert [event.key for event in door.received()] == list(door.store.objects)


class BrokenDirectory(Directory):
    """Fails with words that no client may hear."""

    def lookup_domain(self, name: str) -> tuple[Customer, Domain] | None:
        raise RuntimeError(f"password=hunter2 {name}")

    def plan(self) -> tuple[str, ...]:
        return ("virus",)

    def ready(self) -> bool:
        return True


async def test_an_exception_is_421_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    async with opened(view=BrokenDirectory()) as door, connected(door) as client:
        await client.until("220")
        await client.send("EHLO c.test\r\nMAIL FROM:<alice@sender.test>\r\nRCPT TO:<anna@acme.test>\r\n")
        await client.until("250 2.1.0")
        assert await client.line() == "421 4.3.0 Temporary failure, closing connection"
        assert await client.line() == ""
    assert "hunter2" in caplog.text


class FaultyBus(MemoryBus):
    """Fails in a way that no port allows: a bug."""

    async def publish(self, items: Iterable[Event | Tombstone], *, within: float = 10.0) -> None:
        raise RuntimeError(f"password=hunter2 {list(items)} {within}")


async def test_a_bug_while_publishing_is_421_and_the_object_is_deleted() -> None:
    async with opened(bus=FaultyBus()) as door, connected(door) as client:
        await client.to_data()
        await client.send(MESSAGE)
        assert await client.line() == "421 4.3.0 Temporary failure, closing connection"
        await swept(door, 1)
        door.ingress._rejections.task.cancel()  # type: ignore[union-attr]  # it shares the faulty bus


async def test_nothing_of_a_message_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    async with opened() as door, connected(door) as client:
        await client.to_data()
        await client.send(MESSAGE)
        await client.until("250 2.0.0")
    assert "accepted id=" in caplog.text
    assert "s3cret" not in caplog.text
    assert logging.getLogger("mail.log").getEffectiveLevel() >= logging.INFO


async def test_connections_are_capped_in_all_and_by_address() -> None:
    async with (
        opened(changes={"max_connections": 2}) as door,
        connected(door) as one,
        connected(door) as two,
        connected(door) as three,
    ):
        assert (await one.line()).startswith("220")
        assert (await two.line()).startswith("220")
        assert (await three.line()).startswith("421 4.3.2")
        assert await three.line() == ""
        await one.send("QUIT\r\n")
        await one.until("221")
        assert await one.line() == ""
        async with connected(door) as four:
            assert (await four.line()).startswith("220")
        await eventually(lambda: [e.reason for e in door.rejections()] == ["too-many-connections"])
    async with (
        opened(changes={"max_connections_per_address": 1}) as door,
        connected(door) as one,
        connected(door) as two,
    ):
        assert (await one.line()).startswith("220")
        assert (await two.line()).startswith("421 4.7.0")


async def test_over_the_budget_messages_go_to_the_disk_and_nobody_waits_for_who_is_slow() -> None:
    async with opened(changes={"max_bytes_in_flight": 50_000}) as door, connected(door) as one, connected(door) as two:
        for client in (one, two):
            await client.until("220")
            await client.send(TO_DATA.replace("anna@acme.test", "zoe@zeta.test"))
            await client.until("354")
        memory = door.ingress._front.memory  # type: ignore[union-attr]  # it is open
        await one.send(b"x" * 40_000)
        await eventually(lambda: memory.held >= 39_900)
        assert not door.store.uploads
        await two.send(b"y" * 40_000 + b"\r\n")
        await eventually(lambda: len(door.store.uploads) == 1)
        assert memory.held <= 50_000
        await two.send(b".\r\n")
        assert (await two.line()).startswith("250")
        await one.send(b"\r\n.\r\n")
        assert (await one.line()).startswith("250")
        assert sorted(event.size for event in door.received()) == [40_002, 40_002]
        assert (memory.held, door.store.uploads) == (0, [])


async def test_a_disk_that_is_slow_slows_the_client_and_costs_no_memory() -> None:
    changes = {"spool_over": 100_000, "max_line": 1_000_000}
    async with opened(changes=changes) as door, connected(door) as client:
        gate = door.store.hold("write")
        await client.until("220")
        await client.send(TO_DATA.replace("anna@acme.test", "zoe@zeta.test"))
        await client.until("354")
        client.writer.write(b"x" * 900_000 + b"\r\n.\r\n")
        await eventually(lambda: ("write", "") in door.store.calls)
        await asyncio.sleep(0.2)
        assert sum(call == ("write", "") for call in door.store.calls) == 1
        assert door.ingress._front.memory.held < 600_000  # type: ignore[union-attr]  # it is open
        gate.set()
        assert (await client.line()).startswith("250")
        [event] = door.received()
        assert unpack(door.store.objects[event.key])[1] == b"x" * 900_000 + b"\r\n"


async def test_a_client_that_hangs_up_in_a_long_message_leaves_nothing() -> None:
    async with opened(changes={"spool_over": 1_000}) as door:
        for text in ("DATA\r\n", "BDAT 90000\r\n"):
            async with connected(door) as client:
                await client.until("220")
                await client.send("EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<zoe@zeta.test>\r\n")
                await client.until("250 2.1.5")
                await client.send(text.encode() + b"x" * 50_000)
                await eventually(lambda: len(door.store.uploads) == 1)
            await eventually(lambda: not door.store.uploads)
        async with connected(door) as client:
            await client.until("220")
            await client.send("EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<zoe@zeta.test>\r\n")
            await client.until("250 2.1.5")
            await client.send(b"BDAT 50000\r\n" + b"x" * 50_000)
            await client.until("250 2.0.0 Chunk")
            assert len(door.store.uploads) == 1
        await eventually(lambda: not door.store.uploads)
        assert (door.ingress._front.memory.held, door.ingress._front.disk.held) == (0, 0)  # type: ignore[union-attr]  # it is open


async def test_a_long_message_whose_client_hangs_up_before_the_answer_is_stored_and_published() -> None:
    async with opened(changes={"spool_over": 1_000}) as door:
        gate = door.store.hold("commit")
        async with connected(door) as client:
            await client.to_data()
            await client.send(b"x" * 5_000 + b"\r\n.\r\n")
            await eventually(lambda: any(name == "commit" for name, _ in door.store.calls))
        gate.set()
        await eventually(lambda: len(door.received()) == 1)
        assert len(door.store.objects) == 1
        await eventually(lambda: not door.store.uploads)


async def test_a_commit_that_comes_too_late_is_swept() -> None:
    changes = {"spool_over": 1_000, "store_timeout": 0.2}
    async with opened(changes=changes) as door, connected(door) as client:
        gate = door.store.hold("commit")
        await client.to_data()
        await client.send(b"x" * 5_000 + b"\r\n.\r\n")
        assert (await client.line()).startswith("451 4.3.0")
        gate.set()
        await eventually(lambda: any(name == "delete" for name, _ in door.store.calls))
        assert (door.store.objects, door.store.uploads, door.received()) == ({}, [], [])


async def test_a_flood_of_commands_leaves_others_their_turn() -> None:
    patient = {"max_idle_commands": 1_000_000}
    async with opened(changes=patient) as door, connected(door) as flood, connected(door) as other:
        await flood.until("220")
        await other.until("220")
        flood.writer.write(b"NOOP\r\n" * 20_000)
        await other.send("NOOP\r\n")
        assert (await other.line()).startswith("250")
        for _ in range(20_000):
            assert (await flood.line()).startswith("250")


async def test_a_client_that_never_reads_is_dropped() -> None:
    async with opened(changes={"command_timeout": 0.5, "max_idle_commands": 10_000_000}) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport has it
        with contextlib.suppress(ConnectionError):
            for _ in range(2_000):
                writer.write(b"HELP\r\n" * 1_000)
                await asyncio.wait_for(writer.drain(), 20)
        await eventually(lambda: not door.ingress._front._guests, 20)  # type: ignore[union-attr]
        writer.transport.abort()
        assert reader is not None


async def test_who_is_cut_off_in_the_middle_of_a_flood_still_hears_why() -> None:
    async with opened(changes={"max_size": 10_000}) as door, connected(door) as client:
        await client.to_data()

        async def flood() -> None:
            for _ in range(200):
                client.writer.write(b"x" * 65_534 + b"\r\n")
                await client.writer.drain()
            client.writer.write_eof()

        pouring = asyncio.create_task(flood())
        assert (await client.line()).startswith("552 5.3.4")
        assert (await client.line()).startswith("421 4.7.0")
        assert await client.line() == ""
        await asyncio.wait_for(pouring, 10)


async def run_until(
    config: IngressConfig, ready: asyncio.Event, stop: asyncio.Event, store: MemoryStore, bus: MemoryBus
) -> None:
    ingress = Ingress(
        config,
        store=store,
        bus=bus,
        directory=directory(),
        dns=FakeDns(),
        signals=Signals(),
        clock=SystemClock(),
        entropy=lambda count: b"\0" * count,
    )
    await app.run(ingress, stop=stop, ready=ready.set)


async def test_a_port_in_use_is_one_line() -> None:
    async with opened() as door:
        with pytest.raises(StartError) as refused:
            async with opened(changes={"port": door.port}):
                pass
    assert str(refused.value) == f"ingress can't listen on 127.0.0.1:{door.port}: Address already in use"


@pytest.mark.parametrize("sending", [False, True])
async def test_stopping_sends_idle_clients_away_and_lets_a_message_end(*, sending: bool) -> None:
    async with opened() as spare:
        port = spare.port
    store, bus, ready, stop = MemoryStore(), MemoryBus(), asyncio.Event(), asyncio.Event()
    config = IngressConfig(port=port, hostname="mx.gatepost.test", shutdown_timeout=5.0)
    service = asyncio.create_task(run_until(config, ready, stop, store, bus))
    await asyncio.wait_for(ready.wait(), 10)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = Client(reader, writer)
    if sending:
        await client.to_data()
    else:
        await client.until("220")
    stop.set()
    if sending:
        await eventually(lambda: _refused(port))
        await client.send(MESSAGE)
        assert (await client.line()).startswith("250 2.0.0 OK")
        assert len(store.objects) == len(bus.events(catalog.RECEIVED)) == 1
    assert await client.line() == "421 4.3.2 Service closing, try again later"
    assert await client.line() == ""
    await asyncio.wait_for(service, 10)
    writer.close()


@pytest.mark.parametrize("stalls", [False, True])
async def test_stopping_lets_a_transaction_that_has_begun_come_to_its_answer(*, stalls: bool) -> None:
    async with opened() as spare:
        port = spare.port
    store, bus, ready, stop = MemoryStore(), MemoryBus(), asyncio.Event(), asyncio.Event()
    config = IngressConfig(port=port, hostname="mx.gatepost.test", shutdown_timeout=2.0 if stalls else 10.0)
    service = asyncio.create_task(run_until(config, ready, stop, store, bus))
    await asyncio.wait_for(ready.wait(), 10)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = Client(reader, writer)
    await client.until("220")
    *commands, last = TO_DATA.splitlines(keepends=True)
    for command in commands:
        await client.send(command)
        await client.until("250 ")
    stop.set()
    await eventually(lambda: _refused(port))
    if not stalls:
        await client.send(last)
        await client.until("354")
        await client.send(MESSAGE)
        assert (await client.line()).startswith("250 2.0.0 OK")
        assert len(bus.events(catalog.RECEIVED)) == 1
    assert await client.line() == "421 4.3.2 Service closing, try again later"
    await asyncio.wait_for(service, 10)
    writer.close()


async def _refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.transport.abort()
    return False


async def test_our_certificate_is_made_once_and_kept(tmp_path: Path) -> None:
    shown = []
    for _ in range(2):
        async with opened(changes={"cert_folder": str(tmp_path)}) as door, connected(door) as client:
            await client.until("220")
            await client.send("STARTTLS\r\n")
            await client.until("220")
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            await client.writer.start_tls(context)
            engine: ssl.SSLObject = client.writer.get_extra_info("ssl_object")
            shown.append(engine.getpeercert(binary_form=True))
            await client.send(TO_DATA + MESSAGE.decode())
            await client.until("250 2.0.0")
            assert (door.received()[0].envelope.tls or "").startswith("TLSv1.3 TLS_")
    assert shown[0] == shown[1]
    (file,) = tmp_path.iterdir()  # noqa: ASYNC240  # one small folder
    assert file.stat().st_mode & 0o077 == 0


async def test_tls_before_1_2_and_a_broken_handshake_end_the_connection_and_nothing_else(tmp_path: Path) -> None:
    async with opened(changes={"cert_folder": str(tmp_path)}) as door:
        for noise in (b"EHLO still.in.the.clear\r\n", b"\x16\x03\x01\x00\x05hello"):
            async with connected(door) as client:
                await client.until("220")
                await client.send("STARTTLS\r\n")
                await client.until("220")
                await client.send(noise)
                async with asyncio.timeout(10):
                    assert b"250" not in await client.reader.read()
        await eventually(lambda: not door.ingress._front._guests)  # type: ignore[union-attr]
        async with connected(door) as client:
            assert (await client.line()).startswith("220")
        context = door.ingress._front.tls  # type: ignore[union-attr]
        assert context is not None
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_a_certificate_that_can_not_be_used_is_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("not a certificate")
    with pytest.raises(ConfigError, match="GATEPOST_INGRESS_CERT, GATEPOST_INGRESS_KEY: not a PEM certificate"):
        async with opened(changes={"cert": str(bad), "key": str(bad)}):
            pass
    with pytest.raises(ConfigError, match="No such file"):
        async with opened(changes={"cert": str(tmp_path / "none"), "key": str(bad)}):
            pass
    with pytest.raises(StartError, match="can't keep a certificate"):
        async with opened(changes={"cert_folder": str(bad / "below")}):
            pass


@pytest.mark.parametrize("name", ["happy-path", "starttls", "starttls-injection", "pipelined", "bus-down"])
def test_it_is_the_same_on_uvloop(name: str, tmp_path: Path) -> None:
    path = Path(__file__).parent.parent / "dialogs" / f"{name}.dialog"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Script(path).play(tmp_path))
