"""The delivery test, against real servers on loopback: what a person is shown, and where it won't go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from schemas.events import Host
from services.console.dialogue import Dialogue, Report
from services.runtime.fakes_dns import FakeDns
from services.runtime.ports import free_ports
from tests.house.sink import Sink
from tests.loopback_mta import LoopbackMta, make_certificate, running

Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def report(host: Host, dns: FakeDns | None = None, *, private: bool = True) -> Report:
    return await Dialogue(dns or FakeDns(), "gp.test", private=private).test(host, "bob@acme.test", 1e9, "01K")


@contextlib.asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Host]:
    (port,) = free_ports(1)
    async with await asyncio.start_server(server, "127.0.0.1", port):
        yield Host(host="127.0.0.1", port=port)


def shown(found: Report) -> str:
    return "\n".join(f"{line.mark} {line.text}" for line in found.lines)


async def test_a_message_arrives_and_every_line_is_shown(sink: Sink) -> None:
    dns = FakeDns({("acme.test", "MX"): ("10 mx.acme.test",), ("mx.acme.test", "A"): ("127.0.0.1",)})
    found = await report(Host(host="acme.test", lookup="mx", port=sink.port), dns)
    assert found.good, shown(found)
    lines = shown(found)
    for line in ("* MX acme.test: 10 mx.acme.test", "> EHLO gp.test", "> RCPT TO:<bob@acme.test>", "< 354", "> QUIT"):
        assert line in lines
    assert sink.arrivals[0].header("subject") == "Gatepost delivery test"


async def test_a_refusal_is_shown_as_it_was_said(sink: Sink) -> None:
    sink.refuse = lambda _: "550 5.1.1 no such user here"
    found = await report(Host(host="127.0.0.1", port=sink.port))
    assert not found.good
    assert shown(found).endswith("< 550 5.1.1 no such user here")


async def test_tls_that_is_asked_for_and_not_offered_ends_it(sink: Sink) -> None:
    found = await report(Host(host="127.0.0.1", port=sink.port, tls="verified"))
    assert not found.good
    assert "offers no STARTTLS" in shown(found)
    assert sink.arrivals == []


async def test_tls_that_is_offered_is_used_and_a_strangers_certificate_passes_only_where_it_may(
    tmp_path: Path,
) -> None:
    certificate = make_certificate(tmp_path / "mta.pem")
    async with running(LoopbackMta(tls="fine", certificate=certificate)) as mta:
        found = await report(Host(host="127.0.0.1", port=mta.port))
        assert found.good, shown(found)
        assert "TLSv1.3" in shown(found)
        assert "certificate not checked" in shown(found)
        found = await report(Host(host="127.0.0.1", port=mta.port, tls="verified"))
        assert not found.good
        assert "certificate verify failed" in shown(found)


async def test_private_addresses_are_not_knocked_at(sink: Sink) -> None:
    dns = FakeDns({("rebound.test", "A"): ("127.0.0.1", "10.0.0.1", "169.254.169.254")})
    for host in (Host(host="127.0.0.1", port=sink.port), Host(host="rebound.test", port=sink.port)):
        found = await report(host, dns, private=False)
        assert not found.good
        assert "private addresses only" in shown(found)
        assert "connecting" not in shown(found)
    assert sink.open == set()


@pytest.mark.parametrize(
    ("said", "ending"),
    [
        (b"220 hello\r\n" + b"250-x\r\n" * 10_000, ""),
        (b"2" * 100_000, "without an end"),
        (b"\xff\x1b[2J\r\n", "?"),
        (b"", "closed the connection"),
    ],
)
async def test_a_host_that_misbehaves_harms_nobody(said: bytes, ending: str) -> None:
    async def misbehave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async with serving(misbehave) as host:
        found = await report(host)
    assert not found.good
    assert len(found.lines) < 100
    assert ending in shown(found)
    assert "\x1b" not in shown(found)
