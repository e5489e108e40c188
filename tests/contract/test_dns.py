"""One suite over the resolver, against a name server on loopback, and over the fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from services.core.clock import ManualClock
from services.core.errors import ConfigError, DnsUnavailable
from services.runtime import dns as port
from services.runtime.dns import Answer, Breaker, Dns, Resolver
from services.runtime.fakes_dns import FakeDns

ZONE: dict[tuple[str, str], Answer] = {
    ("mail.test", "A"): ("192.0.2.1", "192.0.2.2"),
    ("mail.test", "AAAA"): ("2001:db8::1",),
    ("mail.test", "MX"): ("10 mx1.mail.test", "20 mx2.mail.test"),
    ("mail.test", "TXT"): (b"v=spf1 " + b"ip4:192.0.2.0/24 " * 30 + b"-all", b"\xff\x00"),
    ("alias.test", "A"): ("192.0.2.1",),
    ("7.2.0.192.in-addr.arpa", "PTR"): ("mx1.mail.test",),
}


class NameServer(asyncio.DatagramProtocol):
    """A name server of ZONE over UDP. Names that begin with `silent` get no answer, with `broken` SERVFAIL."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ttl = 60
        self.down = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        rdtype = query.question[0].rdtype.name
        self.asked.append(name)
        if self.down or name.startswith("silent"):
            return
        self.transport.sendto(self._answer(query, name, rdtype).to_wire(max_size=4096), addr)

    def _answer(self, query: dns.message.Message, name: str, rdtype: str) -> dns.message.Message:
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name.startswith("broken"):
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif (name, rdtype) in ZONE:
            owner = name
            if name == "alias.test":
                answer.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", "CNAME", "mail.test."))
                owner = "mail.test"
            texts = [_zone_text(record, rdtype) for record in ZONE[(name, rdtype)]]
            answer.answer.append(dns.rrset.from_text(owner + ".", self.ttl, "IN", rdtype, *texts))
        elif not any(known == name for known, _ in ZONE):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer


def _zone_text(record: str | bytes, rdtype: str) -> str:
    if isinstance(record, bytes):
        pieces = [record[start : start + 200] for start in range(0, len(record), 200)]
        return " ".join('"' + "".join(f"\\{octet:03d}" for octet in piece) + '"' for piece in pieces)
    return record + "." if rdtype in {"MX", "PTR"} else record


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    yield protocol
    transport.close()


def address(server: NameServer) -> str:
    host, number = server.transport.get_extra_info("sockname")
    return f"{host}:{number}"


@pytest.fixture
async def resolver(server: NameServer) -> AsyncIterator[Resolver]:
    found = Resolver(address(server), ManualClock())
    yield found
    await found.close()


@pytest.fixture(params=["real", "fake"])
async def dns_port(request: pytest.FixtureRequest, resolver: Resolver) -> Dns:
    if request.param == "real":
        return resolver
    fake = FakeDns(ZONE)
    fake.silent |= {"silent.test", "broken.test"}
    return fake


@pytest.mark.parametrize("question", ZONE, ids=str)
async def test_records(dns_port: Dns, question: tuple[str, str]) -> None:
    assert sorted(map(repr, await dns_port.resolve(*question))) == sorted(map(repr, ZONE[question]))


@pytest.mark.parametrize("name", ["MAIL.test", "mail.test."])
async def test_names_are_the_same_in_any_case(dns_port: Dns, name: str) -> None:
    assert len(await dns_port.resolve(name, "A")) == 2


@pytest.mark.parametrize(
    ("name", "rdtype"),
    [
        ("nothing.test", "A"),
        ("alias.test", "MX"),
        ("", "A"),
        (".", "A"),
        ("a..b", "A"),
        ("x" * 64 + ".test", "A"),
        (".".join(["x" * 60] * 5), "A"),
        ("\udc80.test", "A"),
        ("a b.test", "A"),
        ("\\", "A"),
    ],
)
async def test_names_without_records(dns_port: Dns, name: str, rdtype: str) -> None:
    assert await dns_port.resolve(name, rdtype) == ()


@pytest.mark.parametrize("name", ["silent.test", "broken.test"])
async def test_no_answer_is_unavailable(dns_port: Dns, name: str) -> None:
    with pytest.raises(DnsUnavailable):
        await dns_port.resolve(name, "A")


@pytest.mark.parametrize("name", ["mail.invalid", "INVALID", "a.b.invalid.", "x.onion"])
async def test_some_names_never_leave(resolver: Resolver, server: NameServer, name: str) -> None:
    assert await resolver.resolve(name, "A") == ()
    assert server.asked == []


async def test_answers_are_kept_for_their_ttl(server: NameServer) -> None:
    clock = ManualClock()
    resolver = Resolver(address(server), clock)
    for _ in range(2):
        await resolver.resolve("mail.test", "A")
        await resolver.resolve("nothing.test", "A")
    assert len(server.asked) == 2
    clock.advance(61)
    await resolver.resolve("mail.test", "A")
    assert server.asked == ["mail.test", "nothing.test", "mail.test"]
    await resolver.close()


async def test_one_question_for_all_who_ask(resolver: Resolver, server: NameServer) -> None:
    answers = await asyncio.gather(*(resolver.resolve("mail.test", "A") for _ in range(20)))
    assert len(set(answers)) == 1
    assert len(server.asked) == 1


async def test_who_stops_waiting_leaves_the_answer_to_the_others(resolver: Resolver) -> None:
    going, staying = (asyncio.create_task(resolver.resolve("mail.test", "A")) for _ in range(2))
    await asyncio.sleep(0)
    going.cancel()
    assert len(await staying) == 2


async def test_a_resolver_that_is_down_delays_only_the_first(server: NameServer) -> None:
    clock = ManualClock()
    resolver = Resolver(address(server), clock)
    server.down = True
    await asyncio.gather(*(resolver.resolve(f"d{n}.test", "A") for n in range(3)), return_exceptions=True)
    asked = len(server.asked)
    with pytest.raises(DnsUnavailable, match="the resolver is down"):
        await resolver.resolve("mail.test", "A")
    assert len(server.asked) == asked
    server.down = False
    clock.advance(port.BREAK_FOR + 1)
    assert len(await resolver.resolve("mail.test", "A")) == 2  # the probe
    assert len(await resolver.resolve("mail.test", "AAAA")) == 1
    await resolver.close()


async def test_close_ends_what_is_under_way(server: NameServer) -> None:
    resolver = Resolver(address(server), ManualClock())
    waiting = asyncio.create_task(resolver.resolve("silent.test", "A"))
    await asyncio.sleep(0.01)
    await resolver.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def _opened(fail: Callable[[Breaker], None]) -> bool:
    breaker = Breaker(ManualClock())
    fail(breaker)
    return not breaker.allows()


def test_one_slow_domain_does_not_open_the_breaker() -> None:
    def one_message(breaker: Breaker) -> None:
        for name in ("a.test", "s._domainkey.a.test", "_dmarc.a.test"):
            breaker.failed(name)

    def three_domains(breaker: Breaker) -> None:
        for name in ("a.test", "b.test", "c.test"):
            breaker.failed(name)

    def with_an_answer(breaker: Breaker) -> None:
        breaker.failed("a.test")
        breaker.failed("b.test")
        breaker.answered()
        breaker.failed("c.test")

    def always_the_same(breaker: Breaker) -> None:
        for _ in range(9):
            breaker.failed("a.test")

    assert not _opened(one_message)
    assert _opened(three_domains)
    assert not _opened(with_an_answer)
    assert _opened(always_the_same)


def test_an_open_breaker_lets_one_probe_through() -> None:
    clock = ManualClock()
    breaker = Breaker(clock)
    for name in ("a.test", "b.test", "c.test"):
        breaker.failed(name)
    clock.advance(port.BREAK_FOR)
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.failed("d.test")
    assert not breaker.allows()
    clock.advance(port.BREAK_FOR)
    assert breaker.allows()
    breaker.answered()
    assert [breaker.allows() for _ in range(3)] == [True, True, True]


@pytest.mark.parametrize("servers", ["localhost:53", "127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:x", ","])
def test_servers_that_are_none(servers: str) -> None:
    with pytest.raises(ConfigError, match="GATEPOST_DNS"):
        Resolver(servers, ManualClock())


@pytest.mark.parametrize("servers", ["127.0.0.1", "127.0.0.1:5353, 192.0.2.1", "[::1]:53", "::1"])
def test_servers(servers: str) -> None:
    Resolver(servers, ManualClock())
