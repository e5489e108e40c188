"""Delivery over real SMTP on loopback: TLS that falls back, bytes that stay, outages that end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import random
import socket
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import dkim
import pytest
import uvloop
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from schemas.catalog import DISPOSITIONS, OUTCOMES, partition_of
from schemas.events import (
    Action,
    Branch,
    Customer,
    Disposition,
    Domain,
    Envelope,
    Event,
    Host,
    Outcome,
    State,
    Status,
)
from services.core.clock import SystemClock
from services.core.headers import header_end
from services.core.stored import pack
from services.delivery.app import Delivery
from services.delivery.config import DeliveryConfig
from services.delivery.decide import Stage
from services.delivery.dial import SmtpDial, Unreachable
from services.delivery.fakes import Manners
from services.delivery.session import Letter, Session
from services.runtime.bus import Record
from services.runtime.fakes import MemoryBus
from services.runtime.fakes_dns import FakeDns
from services.runtime.fakes_store import MemoryStore
from tests.eventually import eventually
from tests.loopback_mta import LoopbackMta, make_certificate, running
from tests.samples import received

ALL = frozenset(range(DISPOSITIONS.partitions))
B, C, D = "b@example.test", "c@example.test", "d@example.test"
BODY = b"From: a@sender.test\r\nSubject: x\r\n\r\nbody\r\n"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls") / "mta.pem")


@pytest.fixture
async def mta(certificate: Path) -> AsyncIterator[LoopbackMta]:
    async with running(LoopbackMta(certificate=certificate)) as server:
        yield server


class Bench:
    """A Delivery with real connections, and a broker and a store in memory."""

    def __init__(self, *hosts: Host, **config: Any) -> None:
        defaults: dict[str, Any] = {
            "relay_connect_seconds": 3,
            "relay_command_seconds": 5,
            "relay_reply_seconds": 5,
            "relay_patience_seconds": 10,
            "probe_first_seconds": 0.05,
            "probe_most_seconds": 0.2,
            "retry_first_seconds": 0.1,
        }
        self.config = DeliveryConfig(hostname="mx.gatepost.test", **{**defaults, **config})
        self.hosts = hosts
        self.bus, self.store = MemoryBus(), MemoryStore()
        self.delivery = Delivery(
            self.config,
            store=self.store,
            bus=self.bus,
            customer=self.customer,
            clock=SystemClock(),
            chance=random.random,
        )
        self.offset = 0

    def customer(self, customer: str) -> Customer:
        return Customer(id=customer, domains=(Domain(name="example.test", relay=self.hosts),))

    async def deliver(
        self, *recipients: str, body: bytes = BODY, envelope: Sequence[tuple[str, Any]] = (), **branch: Any
    ) -> list[Outcome]:
        to = recipients or (B,)
        base: dict[str, Any] = {"reverse_path": "a@sender.test", "recipients": to, "client_ip": "192.0.2.1"}
        event = received(envelope=Envelope(**{**base, **dict(envelope)}), size=len(body))
        await self.store.put(event.key, [pack(event), body])
        disposition = Disposition(
            received=event,
            branches=(Branch(recipients=to, action=Action.DELIVER, rule="r", reason="", **branch),),
            status=Status.CLEAN,
            score=0,
            decided_at=time.time(),
        )
        self.offset += 1
        record = Record(
            DISPOSITIONS, partition_of(event.id, DISPOSITIONS.partitions), self.offset, event.id, disposition, 0
        )
        results = await self.delivery.handle(record)
        await self.bus.publish([e for e in results if isinstance(e, Event)])
        await self.delivery.finished(record)
        return [e for e in results if isinstance(e, Outcome)]

    def ends(self) -> list[tuple[str, State]]:
        outcomes = [e for e in self.bus.events(OUTCOMES) if isinstance(e, Outcome)]
        return sorted((recipient, outcome.state) for outcome in outcomes for recipient in outcome.recipients)


@contextlib.asynccontextmanager
async def bench(*hosts: Host, **config: Any) -> AsyncIterator[Bench]:
    made = Bench(*hosts, **config)
    await made.delivery.assigned(ALL)
    await made.delivery.start()
    try:
        yield made
    finally:
        await made.delivery.close()


def body_of(content: bytes) -> bytes:
    """Return what was sent below our own fields."""
    return content[content.index(b"\r\nFrom: ") + 2 :]


async def test_each_recipient_ends_as_it_was_told(mta: LoopbackMta) -> None:
    mta.manners.recipients = {C: (450, "4.2.1 busy"), D: (550, "5.1.1 unknown")}
    async with bench(mta.host) as on:
        await on.deliver(B, C, D)
        assert on.ends() == [(B, State.DELIVERED), (D, State.BOUNCED)]
        mta.manners.recipients = {}
        await eventually(lambda: on.ends() == [(B, State.DELIVERED), (C, State.DELIVERED), (D, State.BOUNCED)])
    assert [a.recipients for a in mta.arrived] == [(B,), (C,)]


async def test_down_then_up_everything_arrives_once(mta: LoopbackMta) -> None:
    await mta.stop()
    wanted = [f"r{n:03}@example.test" for n in range(150)]
    async with bench(mta.host, retry_first_seconds=600) as on:
        await asyncio.gather(*(on.deliver(to) for to in wanted))
        assert on.ends() == []
        await mta.start()
        await eventually(lambda: on.ends() == [(to, State.DELIVERED) for to in wanted], within=20)
    assert sorted(a.recipients[0] for a in mta.arrived) == wanted
    assert mta.connections <= 25


async def test_connections_are_kept_and_reset_between_messages(mta: LoopbackMta) -> None:
    async with bench(mta.host, relay_messages_per_connection=4) as on:
        for _ in range(8):
            await on.deliver()
    assert mta.connections == 2
    assert mta.commands.count("RSET") == 6
    assert mta.commands.count("QUIT") == 2
    assert mta.commands[0] == "EHLO mx.gatepost.test"


async def test_tls_is_used_where_it_is_offered_whatever_the_certificate(mta: LoopbackMta) -> None:
    mta.tls = "fine"
    async with bench(mta.host) as on:
        (outcome,) = await on.deliver()
        (large,) = await on.deliver(body=BODY + b"x" * 3_000_000 + b"\r\n")
    assert outcome.tls.startswith("TLSv1.")
    assert large.state is State.DELIVERED
    assert mta.connections == 1


@pytest.mark.parametrize("tls", ["refused", "broken"])
async def test_tls_that_fails_falls_back_to_a_new_plain_connection(mta: LoopbackMta, tls: Any) -> None:
    mta.tls = tls
    async with bench(mta.host, relay_messages_per_connection=1) as on:
        (outcome,) = await on.deliver()
        assert (outcome.state, outcome.tls, outcome.attempts) == (State.DELIVERED, "", 1)
        assert mta.connections == 2
        await on.deliver()
        assert mta.connections == 3  # known by now: not tried again for a while


async def test_tls_can_be_turned_off(mta: LoopbackMta) -> None:
    mta.tls = "fine"
    async with bench(mta.host, relay_starttls=False) as on:
        (outcome,) = await on.deliver()
    assert outcome.tls == ""


async def test_the_second_host_gets_it_when_the_first_refuses(mta: LoopbackMta) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = Host(host="127.0.0.1", port=unused.getsockname()[1], preference=1)
        async with bench(dead, mta.host) as on:
            (outcome,) = await on.deliver()
    assert (outcome.state, outcome.host) == (State.DELIVERED, f"127.0.0.1:{mta.port}")


async def test_a_421_greeting_passes_the_message_on(certificate: Path, mta: LoopbackMta) -> None:
    busy = LoopbackMta(Manners(greeting=(421, "4.3.2 busy")), certificate=certificate)
    async with running(busy), bench(Host(host="127.0.0.1", port=busy.port, preference=1), mta.host) as on:
        (outcome,) = await on.deliver()
        assert outcome.host.endswith(str(mta.port))
        mta.manners.greeting = (421, "4.3.2 busy too")
        await on.delivery._pool.close()
        assert await on.deliver() == []
        busy.manners.greeting = (220, "ready")
        await eventually(lambda: len(on.ends()) == 2)
    assert len(busy.arrived) == 1


async def test_a_connection_lost_after_the_dot_is_a_possible_duplicate(mta: LoopbackMta) -> None:
    mta.manners.hang_up = Stage.FINAL
    async with bench(mta.host, retry_first_seconds=0.5) as on:
        assert await on.deliver() == []
        await eventually(lambda: len(mta.arrived) == 1)
        mta.manners.hang_up = None
        await eventually(lambda: on.ends() == [(B, State.DELIVERED)])
        outcomes = [e for e in on.bus.events(OUTCOMES) if isinstance(e, Outcome)]
    assert [o.possible_duplicate for o in outcomes] == [True]
    assert len(mta.arrived) == 2


async def test_an_mta_that_never_answers_the_dot_is_a_possible_duplicate() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in (b"220 ready\r\n", b"250 mta.test\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            writer.write(reply)
            await reader.readline()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(stall, "127.0.0.1", 0)
    host = Host(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    async with bench(host, relay_reply_seconds=0.2, retry_first_seconds=600) as on:
        assert await on.deliver() == []
        ((_, entry),) = list(on.delivery._shelf.items())
        assert entry.possible_duplicate
        assert entry.reply == "no reply in time in final"
    server.close()
    await server.wait_closed()


ODD = {
    "dots": b".\r\n..\r\n.a\r\n\r\n.\r\n",
    "no last line end": b"the end",
    "eight bits": bytes(range(128, 256)) + b"\r\n",
    "long lines": b"y" * 1_000_000 + b"\r\n" + b"." * 1_000_000 + b"\r\n",
    "many lines": b".line\r\n" * 300_000,
    "empty": b"",
    "nul": b"\x00\x01\r\n",
    "blank lines": b"\r\n\r\n\r\n",
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD.keys())
async def test_bytes_arrive_as_they_came(mta: LoopbackMta, body: bytes) -> None:
    message = b"From: a@sender.test\r\nSubject: \xc3\xa4\r\n\r\n" + body
    async with bench(mta.host) as on:
        (outcome,) = await on.deliver(body=message)
    assert outcome.state is State.DELIVERED
    wanted = message if message.endswith(b"\r\n") else message + b"\r\n"
    assert body_of(mta.arrived[0].content) == wanted


async def test_a_signature_made_by_the_sender_still_verifies(mta: LoopbackMta) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    message = BODY + b".dot\r\n" + b"z" * 400_000 + b"\r\n\xff\r\n"
    signed = dkim.sign(message, b"s", b"sender.test", pem, canonicalize=(b"simple", b"simple")) + message
    async with bench(mta.host) as on:
        await on.deliver(body=signed, add_headers=(("X-Checked", "yes"),))

    def dns(*_: Any, **__: Any) -> bytes:
        return b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)

    content = mta.arrived[0].content
    assert content.count(b"X-Checked") == 1
    assert dkim.verify(content, dnsfunc=dns)


async def test_a_large_message_does_not_hold_up_the_loop(mta: LoopbackMta) -> None:
    """25 MB in aiosmtplib's own `data` block the loop for half a second; here the longest stretch is a block's."""
    body = BODY + (b"x" * 76 + b"\r\n") * 320_000
    done = asyncio.Event()
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    async with bench(mta.host) as on:
        watcher = asyncio.create_task(watch())
        (outcome,) = await on.deliver(body=body)
        done.set()
        await watcher
    assert outcome.state is State.DELIVERED
    assert len(body_of(mta.arrived[0].content)) == len(body)
    assert turns > len(body) // 65_536  # others had their turn at least once a block


# --- what a session asks for


CONFIG = DeliveryConfig(
    hostname="mx.gatepost.test", relay_command_seconds=3, relay_reply_seconds=3, relay_connect_seconds=3
)


async def session(mta: LoopbackMta) -> Session:
    return await SmtpDial(CONFIG, SystemClock(), FakeDns())(mta.host)


def letter(content: bytes = BODY, **changes: Any) -> Letter:
    base: dict[str, Any] = {
        "reverse_path": "a@sender.test",
        "recipients": (B,),
        "parts": (content,),
        "size": len(content),
        "eight_bit": not content.isascii(),
    }
    return Letter(**{**base, **changes})


async def test_parameters_say_what_the_message_needs(mta: LoopbackMta) -> None:
    on = await session(mta)
    await on.send(letter())
    await on.send(letter(b"\xff\r\n"))
    await on.send(letter(recipients=("bj\u00f6rn@example.test",)))
    await on.send(letter(utf8_header=True))
    assert [a.parameters for a in mta.arrived] == [
        {f"SIZE={len(BODY)}"},
        {"SIZE=3", "BODY=8BITMIME"},
        {f"SIZE={len(BODY)}", "SMTPUTF8"},
        {f"SIZE={len(BODY)}", "SMTPUTF8"},
    ]
    await on.quit()


async def test_an_mta_without_8bitmime_does_not_get_what_needs_it(mta: LoopbackMta) -> None:
    mta.manners.extensions = ()
    on = await session(mta)
    done = await on.send(letter(b"\xff\r\n"))
    assert done.replies[B].line == "554 5.6.3 the destination does not take eight-bit mail (8BITMIME)"
    await on.send(letter())
    assert [(a.parameters, a.content) for a in mta.arrived] == [(frozenset(), BODY)]
    await on.quit()


async def test_it_gets_it_as_it_is_where_the_operator_says_so(mta: LoopbackMta) -> None:
    mta.manners.extensions = ()
    config = DeliveryConfig(hostname="mx.gatepost.test", relay_send_eight_bit=True)
    on = await SmtpDial(config, SystemClock(), FakeDns())(mta.host)
    await on.send(letter(b"\xff\r\n"))
    assert [(a.parameters, a.content) for a in mta.arrived] == [(frozenset(), b"\xff\r\n")]
    await on.quit()


async def test_what_the_mta_cannot_take_is_refused_for_good_without_asking(mta: LoopbackMta) -> None:
    mta.manners.extensions = ("SIZE 30",)
    on = await session(mta)
    done = await on.send(letter())
    assert done.replies[B].line == f"552 5.3.4 {len(BODY)} octets; the destination takes 30"
    done = await on.send(letter(b"x\r\n", reverse_path="bj\u00f6rn@sender.test"))
    assert done.replies[B].line.startswith("550 5.6.7 ")
    assert not [command for command in mta.commands if command.startswith("MAIL")]
    await on.quit()


@pytest.mark.parametrize("limit", ["SIZE", "SIZE 0", "SIZE x"])
async def test_a_size_without_a_limit_is_none(mta: LoopbackMta, limit: str) -> None:
    mta.manners.extensions = (limit,)
    on = await session(mta)
    assert (await on.send(letter())).replies[B].code == 250
    await on.quit()


@pytest.mark.parametrize(
    "path", ['"a b"@example.test', '"a>,c@x"@example.test', "a+b%c!d@example.test", "b@[192.0.2.1]", "B@Example.TEST"]
)
async def test_addresses_go_out_as_they_are(mta: LoopbackMta, path: str) -> None:
    """aiosmtplib's own `rcpt` sends `a` for `a,b@x` and refuses quoted local parts that hold brackets."""
    on = await session(mta)
    await on.send(letter(recipients=(path,), reverse_path=path))
    await on.send(letter(recipients=(path,), reverse_path=""))
    assert [(a.reverse_path, a.recipients) for a in mta.arrived] == [(path, (path,)), ("", (path,))]
    await on.quit()


@pytest.mark.parametrize(
    "path", ["a\r\nRCPT TO:<x@y>@example.test", "a b@example.test", "<a@example.test", "a@b>c", ""]
)
async def test_what_is_no_address_never_reaches_the_wire(mta: LoopbackMta, path: str) -> None:
    on = await session(mta)
    done = await on.send(letter(recipients=(path, B)))
    assert done.replies[path].line.startswith("501 5.1.3")
    assert done.replies[B].code == 250
    if path:
        refused = await on.send(letter(reverse_path=path))
        assert refused.replies[B].line.startswith("501 5.1.7")
    assert mta.commands.count(f"RCPT TO:<{B}>") == 1
    await on.quit()


async def test_an_mta_that_answers_in_the_middle_of_a_message_is_heard(mta: LoopbackMta) -> None:
    mta.early = (552, "5.3.4 too large")
    on = await session(mta)
    done = await asyncio.wait_for(on.send(letter(b"x" * 30_000_000)), 10)
    assert done.replies[B].line == "552 5.3.4 too large"
    assert not done.replies[B].ambiguous
    assert not done.reusable


async def test_an_mta_that_stops_reading_is_left() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in (b"220 ready\r\n", b"250 mta.test\r\n", b"250 ok\r\n", b"250 ok\r\n"):
            writer.write(reply)
            await reader.readline()
        writer.write(b"354 go\r\n")
        await over.wait()
        writer.close()

    over = asyncio.Event()
    server = await asyncio.start_server(stall, "127.0.0.1", 0, limit=1024)
    config = DeliveryConfig(hostname="mx.gatepost.test", relay_block_seconds=0.3)
    on = await SmtpDial(config, SystemClock(), FakeDns())(
        Host(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    )
    done = await asyncio.wait_for(on.send(letter(b"x" * 50_000_000)), 20)
    assert done.replies[B].line == "the connection took no data in time"
    assert not done.replies[B].ambiguous
    over.set()
    server.close()
    await server.wait_closed()


async def test_an_mta_that_speaks_no_smtp_is_unreachable(mta: LoopbackMta) -> None:
    for greeting in [(220, "ready\r\nnonsense"), (199, "what")]:
        mta.manners.greeting = greeting
        with contextlib.suppress(Unreachable):
            on = await session(mta)
            done = await on.send(letter())
            assert all(reply.code in {0, 250} for reply in done.replies.values())
            on.close()


async def test_nobody_listens_or_answers_or_resolves() -> None:
    async def nowhere(_host: str, _port: int) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(Unreachable, match="refused"):
            await SmtpDial(CONFIG, SystemClock(), FakeDns())(Host(host="127.0.0.1", port=port))
        with pytest.raises(Unreachable, match="Name or service not known"):
            await SmtpDial(CONFIG, SystemClock(), FakeDns(), resolve=nowhere)(Host(host="mta.test", port=port))
        silent.listen()  # takes the connection and says nothing
        short = DeliveryConfig(hostname="mx.gatepost.test", relay_command_seconds=0.2)
        with pytest.raises(Unreachable, match="no reply in time before MAIL"):
            await SmtpDial(short, SystemClock(), FakeDns())(Host(host="127.0.0.1", port=port))


async def test_header_and_body_are_told_apart_as_the_receiver_does(mta: LoopbackMta) -> None:
    async with bench(mta.host) as on:
        await on.deliver(body=BODY.replace(b"\r\n\r\n", b"\r\nX-Gatepost: spoof\r\n\r\n"))
    content = mta.arrived[0].content
    assert b"spoof" not in content
    assert content[header_end(content) :] == b"\r\nbody\r\n"


# --- services run on uvloop, whose transports are not asyncio's

ON_BOTH = [
    test_each_recipient_ends_as_it_was_told,
    test_down_then_up_everything_arrives_once,
    test_connections_are_kept_and_reset_between_messages,
    test_tls_is_used_where_it_is_offered_whatever_the_certificate,
    functools.partial(test_tls_that_fails_falls_back_to_a_new_plain_connection, tls="broken"),
    functools.partial(test_tls_that_fails_falls_back_to_a_new_plain_connection, tls="refused"),
    test_the_second_host_gets_it_when_the_first_refuses,
    test_a_connection_lost_after_the_dot_is_a_possible_duplicate,
    functools.partial(test_bytes_arrive_as_they_came, body=ODD["many lines"]),
    functools.partial(test_bytes_arrive_as_they_came, body=ODD["long lines"]),
    test_a_large_message_does_not_hold_up_the_loop,
    test_an_mta_that_answers_in_the_middle_of_a_message_is_heard,
]


@pytest.mark.parametrize("index", range(len(ON_BOTH)))
def test_it_is_the_same_on_uvloop(index: int, certificate: Path) -> None:
    async def main() -> None:
        async with running(LoopbackMta(certificate=certificate)) as server:
            await ON_BOTH[index](server)  # type: ignore[operator]  # partial or not, each takes the MTA

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
