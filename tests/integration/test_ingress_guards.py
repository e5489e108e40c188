"""What the front door does with many clients: who gets in, who is put off, and what it costs the rest."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from schemas.catalog import GREYLIST
from schemas.events import Signal
from services.core.signals import Kind
from services.runtime.fakes import MemoryBus
from services.runtime.fakes_dns import FakeDns
from services.runtime.metrics import value
from tests.dialogs.door import Client, Door, opened
from tests.eventually import eventually

STRANGERS = {"exempt": ("192.0.2.0/24",), "greet_pause": 0.0, "reverse_dns": False, "tarpit": 0.0}
HELLO = "EHLO c.test\r\n"
FROM = "MAIL FROM:<alice@sender.test>\r\n"


@contextlib.asynccontextmanager
async def from_address(door: Door, ip: str) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port, local_addr=(ip, 0))
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def rcpt(client: Client, address: str) -> str:
    await client.send(f"RCPT TO:<{address}>\r\n")
    return await client.line()


async def said(client: Client, command: str) -> str:
    """Send one command and return the last line of the answer."""
    await client.send(command)
    while (line := await client.line())[3:4] == "-":
        pass
    return line


async def deliver(door: Door, ip: str) -> str:
    """Send one message as far as the answers allow, and return the last of them."""
    async with from_address(door, ip) as client:
        answer = await client.line()
        for command in (HELLO, FROM, "RCPT TO:<anna@acme.test>\r\n", "DATA\r\n", "Subject: x\r\n\r\ny\r\n.\r\n"):
            if answer[:1] not in "23":
                break
            answer = await said(client, command)
        return answer


async def test_refusals_come_before_data_and_store_and_broker_see_only_the_rest() -> None:
    listed = [f"127.0.1.{n}" for n in range(1, 81)]
    others = [f"127.0.2.{n}" for n in range(1, 21)]
    dns = FakeDns({(f"{ip.split('.')[3]}.1.0.127.zen.test", "A"): ("127.0.0.2",) for ip in listed})
    async with opened(dns=dns, changes={**STRANGERS, "dnsbl": ("zen.test=9",)}) as door:
        before = value("gatepost_refusals_total", reason="reputation")
        order = [ip for n in range(20) for ip in (*listed[n * 4 : n * 4 + 4], others[n])]
        gate = asyncio.Semaphore(20)

        async def one(ip: str) -> str:
            async with gate:
                return await deliver(door, ip)

        answers = await asyncio.gather(*(one(ip) for ip in order))
        by_ip = dict(zip(order, answers, strict=True))
        assert all(by_ip[ip].startswith("554 5.7.1 Refused, code reputation") for ip in listed)
        assert all(by_ip[ip].startswith("250 2.0.0 OK id=") for ip in others)
        assert Counter(call for call, _ in door.store.calls) == {"put": 20}
        assert sorted(event.envelope.client_ip for event in door.received()) == sorted(others)
        await eventually(lambda: len(door.rejections()) == 80)
        assert {event.client_ip for event in door.rejections()} == set(listed)
        assert {event.reason for event in door.rejections()} == {"reputation"}
        assert value("gatepost_refusals_total", reason="reputation") - before == 80
        assert len(door.bus.events(GREYLIST)) == 0


async def test_a_list_that_hangs_blocks_nobody_and_delays_nobody_else() -> None:
    dns = FakeDns()
    dns.slow["9.0.0.127.zen.test"] = 60.0
    changes = {**STRANGERS, "dnsbl": ("zen.test=9",), "reputation_timeout": 1.0}
    async with opened(dns=dns, changes=changes) as door:
        slow = asyncio.create_task(deliver(door, "127.0.0.9"))
        await eventually(lambda: ("9.0.0.127.zen.test", "A") in dns.asked)
        assert (await deliver(door, "127.0.0.10")).startswith("250")
        assert not slow.done()
        assert (await slow).startswith("250")


async def test_who_leaves_while_it_is_asked_about_leaves_nothing_behind() -> None:
    dns = FakeDns()
    dns.slow["9.0.0.127.zen.test"] = 60.0
    changes = {**STRANGERS, "dnsbl": ("zen.test=9",), "reputation_timeout": 30.0}
    async with opened(dns=dns, changes=changes) as door:
        async with from_address(door, "127.0.0.9") as client:
            await client.until("220")
            await client.send(HELLO)
            await client.until("250 ")
            await client.send(FROM)
            await eventually(lambda: bool(dns.asked))
            await asyncio.sleep(0.05)
            raw: socket.socket = client.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # gone without a farewell
        await eventually(lambda: not door.ingress._guards._asking)
        await eventually(lambda: not door.ingress._front._guests)  # type: ignore[union-attr]  # it is open


async def test_the_operators_list_refuses_at_the_greeting_but_not_what_a_customer_allows(tmp_path: Path) -> None:
    block = tmp_path / "block"
    block.write_text("127.0.3.0/24\n")
    async with opened(changes={**STRANGERS, "block_file": str(block), "contact": "https://why.test"}) as door:
        assert await deliver(door, "127.0.3.1") == "554 5.7.1 Refused, code list, see https://why.test"
        acme = door.directory.customer("acme")
        assert acme is not None
        door.directory.apply(type(acme)(id="acme", salt=acme.salt, domains=acme.domains, allow=("127.0.3.1/32",)))
        assert (await deliver(door, "127.0.3.1")).startswith("250")
        async with from_address(door, "127.0.3.1") as client:
            await client.until("220")
            await said(client, HELLO)
            await said(client, FROM)
            assert (await rcpt(client, "zoe@zeta.test")).startswith("554 5.7.1 Refused, code list")
        assert (await deliver(door, "127.0.3.2")).startswith("554")
        await eventually(lambda: [e.reason for e in door.rejections()] == ["blocked"] * 3)
        assert sorted(event.customer for event in door.rejections()) == ["", "", "zeta"]
        why = {piece.text for event in door.rejections() for piece in event.evidence}
        assert why == {"127.0.3.0/24 is on GATEPOST_INGRESS_BLOCK_FILE"}


async def test_the_operators_trust_spares_rates_and_reputation(tmp_path: Path) -> None:
    allow = tmp_path / "allow"
    allow.write_text("127.0.4.1\n")
    changes = {**STRANGERS, "allow_file": str(allow), "max_new_per_address": 1, "dnsbl": ("zen.test=9",)}
    dns = FakeDns({("1.4.0.127.zen.test", "A"): ("127.0.0.2",)})
    async with opened(dns=dns, changes=changes) as door:
        for _ in range(3):
            assert (await deliver(door, "127.0.4.1")).startswith("250")
        assert dns.asked == []
        assert (await deliver(door, "127.0.4.2")).startswith("250")
        assert (await deliver(door, "127.0.4.2")).startswith("421 4.7.0")
        await eventually(lambda: [e.reason for e in door.rejections()] == ["too-many-new-connections-from-address"])


async def test_a_harvester_over_many_connections_learns_nothing_more() -> None:
    async with opened(changes={**STRANGERS, "harvest_per_address": 1_000, "harvest_per_network": 10}) as door:
        answers = []
        for number in range(12):
            async with from_address(door, f"127.0.5.{number + 1}") as client:
                await client.until("220")
                await said(client, HELLO)
                await said(client, FROM.replace("alice", f"a{number}"))
                answers.append(await rcpt(client, f"guess{number}@acme.test"))
        assert [answer[:3] for answer in answers] == ["550"] * 10 + ["450"] * 2
        async with from_address(door, "127.0.5.99") as client:
            await client.until("220")
            await said(client, HELLO)
            await said(client, FROM.replace("alice", "x"))
            there, not_there = await rcpt(client, "anna@acme.test"), await rcpt(client, "nobody@acme.test")
            assert there == not_there == "450 4.7.1 Not now, try again later"
        assert (await deliver(door, "127.0.6.1")).startswith("250")


async def test_what_was_signalled_holds_here_until_it_lapses() -> None:
    async with opened(changes=STRANGERS) as door:
        for kind, subject in ((Kind.HARVEST_NETWORK, "127.0.7.0/24"), (Kind.ABUSE_RATE, "127.0.8.1")):
            door.signals.apply(Signal(subject=subject, kind=kind, count=9, window_s=60, until=9e9, at=0.0))
        assert (await deliver(door, "127.0.7.1")).startswith("450 4.7.1 Not now")
        assert (await deliver(door, "127.0.8.1")).startswith("452 4.7.1")
        assert (await deliver(door, "127.0.9.1")).startswith("250")
        door.signals.apply(
            Signal(subject="127.0.7.0/24", kind=Kind.HARVEST_NETWORK, count=9, window_s=60, until=1.0, at=0.0)
        )
        assert (await deliver(door, "127.0.7.1")).startswith("250")


async def test_a_customer_whom_all_doors_together_give_too_much_is_put_off_and_no_other() -> None:
    async with opened(changes=STRANGERS) as door:
        for kind in (Kind.CUSTOMER_RATE, Kind.CUSTOMER_RECIPIENTS):
            before = value("gatepost_refusals_total", reason=kind.value)
            told = Signal(subject="acme", kind=kind, customer="acme", count=9, window_s=60, until=9e9, at=0.0)
            door.signals.apply(told)
            async with from_address(door, "127.0.7.1") as client:
                await client.until("220")
                await said(client, HELLO)
                await said(client, FROM)
                assert (await rcpt(client, "anna@acme.test")).startswith("450 4.2.1 Too much mail for this recipient")
                assert (await rcpt(client, "nobody@acme.test")).startswith("550")  # who exists is told as ever
                assert (await rcpt(client, "zoe@zeta.test")).startswith("250")
            assert value("gatepost_refusals_total", reason=kind.value) - before == 1
            door.signals.apply(msgspec.structs.replace(told, until=1.0))
        both = {Kind.CUSTOMER_RATE.value, Kind.CUSTOMER_RECIPIENTS.value}
        await eventually(lambda: both <= {event.reason for event in door.rejections()})
        assert (await deliver(door, "127.0.7.1")).startswith("250")


async def test_when_all_places_are_taken_who_is_idle_makes_room() -> None:
    changes = {**STRANGERS, "max_connections": 3, "idle_when_full": 0.3}
    async with opened(changes=changes) as door, contextlib.AsyncExitStack() as stack:
        busy = await stack.enter_async_context(from_address(door, "127.0.9.1"))
        await busy.until("220")
        for command in (HELLO, FROM, "RCPT TO:<anna@acme.test>\r\n", "DATA\r\n"):
            answer = await said(busy, command)
        assert answer.startswith("354")
        idle = [await stack.enter_async_context(from_address(door, f"127.0.9.{n}")) for n in (2, 3)]
        for client in idle:
            await client.until("220")
        assert (await deliver(door, "127.0.9.4")).startswith("421 4.3.2")  # not idle for long enough
        await asyncio.sleep(0.4)
        assert (await deliver(door, "127.0.9.4")).startswith("250")
        assert await idle[0].until("421") == "421 4.4.2 Timeout, closing connection"
        await busy.send("Subject: x\r\n\r\ny\r\n.\r\n")
        assert (await busy.line()).startswith("250")

        def sent_away() -> list[str]:
            return [event.client_ip for event in door.rejections() if event.reason == "idle-when-full"]

        await eventually(lambda: sent_away() == ["127.0.9.2"])


async def test_a_client_that_waited_at_one_pod_is_known_at_another() -> None:
    bus = MemoryBus()
    changes = {**STRANGERS, "greylist_delay": 0.5}
    async with opened(bus=bus, changes=changes) as one, opened(bus=bus, changes=changes) as other:
        assert (await deliver(one, "127.0.9.1")).startswith("450 4.7.1 Greylisted")
        await eventually(lambda: len(bus.events(GREYLIST)) == 1)

        async def taken() -> bool:
            return (await deliver(other, "127.0.9.2")).startswith("250")

        await eventually(taken, within=5.0)
        assert len(other.received()) == 1
        await eventually(lambda: len(bus.events(GREYLIST)) == 2)
        known = one.ingress._guards.greylist
        assert known is not None
        await eventually(lambda: bool(known._passed))
        assert (await deliver(one, "127.0.9.3")).startswith("250")


async def test_patience_is_asked_for_once() -> None:
    async with opened(changes={**STRANGERS, "greet_pause": 0.3}) as door:
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert (await deliver(door, "127.0.9.1")).startswith("250")
        assert loop.time() - began >= 0.3
        async with from_address(door, "127.0.9.1") as client:  # greeted at once: even who speaks early isn't early
            await client.send(HELLO)
            assert (await client.line()).startswith("220")
        async with from_address(door, "127.0.9.2") as client:
            await client.send(HELLO)
            assert (await client.line()).startswith("554 5.5.0")


@pytest.mark.parametrize("header", [b"", b"PROXY TCP4 127.0.9.1"])
async def test_stopping_waits_neither_for_a_greeting_nor_for_a_header(header: bytes) -> None:
    changes = {**STRANGERS, "greet_pause": 30.0, "proxy_timeout": 30.0}
    if header:
        changes["proxy_from"] = ("127.0.9.1",)
    async with opened(changes=changes) as door, from_address(door, "127.0.9.1") as client:
        front = door.ingress._front
        assert front is not None
        await eventually(lambda: bool(front._nameless if header else front._guests))
        await client.send(header)
        async with asyncio.timeout(10):
            await door.ingress.close()
            rest = await _end(client)
        assert rest == (b"" if header else b"421 4.3.2 Service closing, try again later\r\n")


async def _end(client: Client) -> bytes:
    try:
        return await client.reader.read()
    except ConnectionResetError:
        return b""


async def test_limits_count_the_address_behind_the_balancer() -> None:
    changes = {**STRANGERS, "proxy_from": ("127.0.9.1",), "max_connections_per_address": 1}
    async with opened(changes=changes) as door, contextlib.AsyncExitStack() as stack:
        greetings = []
        for client_ip in ("198.51.100.1", "198.51.100.2", "198.51.100.1"):
            client = await stack.enter_async_context(from_address(door, "127.0.9.1"))
            await client.send(f"PROXY TCP4 {client_ip} 192.0.2.1 1 25\r\n")
            greetings.append((await client.line())[:3])
        assert greetings == ["220", "220", "421"]


async def test_who_comes_too_often_waits_to_hear_so_and_holds_up_no_stop() -> None:
    changes = {**STRANGERS, "max_new_per_address": 1, "tarpit": 0.4}

    def held(door: Door) -> int:
        assert door.ingress._front is not None
        return len(door.ingress._front._nameless)

    async with opened(changes=changes) as door:
        loop = asyncio.get_running_loop()
        async with from_address(door, "127.0.9.1") as one, from_address(door, "127.0.9.1") as two:
            began = loop.time()
            assert (await one.line()).startswith("220")
            assert (await two.line()).startswith("421 4.7.0")
            assert loop.time() - began >= 0.4
            assert await two.line() == ""
        async with from_address(door, "127.0.9.1"):
            await eventually(lambda: held(door) == 1)
        await eventually(lambda: held(door) == 0)
    async with (
        opened(changes={**changes, "tarpit": 30.0}) as door,
        from_address(door, "127.0.9.1"),
        from_address(door, "127.0.9.1") as late,
    ):
        await eventually(lambda: held(door) == 1)
        async with asyncio.timeout(10):
            await door.ingress.close()
            assert await _end(late) == b""


async def test_one_customer_does_not_take_all_connections() -> None:
    async with opened(changes={**STRANGERS, "max_connections_per_customer": 1}) as door:
        async with from_address(door, "127.0.9.1") as one, from_address(door, "127.0.9.2") as two:
            for client in (one, two):
                await client.until("220")
                await said(client, HELLO)
                await said(client, FROM)
            assert (await rcpt(one, "anna@acme.test")).startswith("250")
            assert (await rcpt(two, "bert@acme.test")).startswith("450 4.2.1")
            assert (await rcpt(two, "zoe@zeta.test")).startswith("250")
        async with from_address(door, "127.0.9.3") as three:
            await three.until("220")
            await said(three, HELLO)
            await said(three, FROM)

            async def room() -> bool:
                return (await rcpt(three, "anna@acme.test")).startswith("250")

            await eventually(room)
