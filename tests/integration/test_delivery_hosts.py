"""MTAs that are difficult, over real sockets: each has the outcome that is right for it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.events import Host, State
from services.core.clock import SystemClock
from services.delivery.config import DeliveryConfig
from services.delivery.dial import SmtpDial, Unreachable
from services.delivery.hops import Hop
from services.delivery.sts import Https
from services.delivery.tls_results import Result
from services.runtime.fakes_dns import FakeDns
from tests.eventually import eventually
from tests.integration.test_delivery import B, bench, certificate, mta
from tests.loopback_mta import LoopbackMta
from tests.unit.test_delivery_tls import certificate as signed

__all__ = ["certificate", "mta"]

CONFIG = DeliveryConfig(hostname="mx.gatepost.test", relay_connect_seconds=3, relay_command_seconds=0.5)


@contextlib.asynccontextmanager
async def saying(octets: bytes, every: float) -> AsyncIterator[Host]:
    """Says one octet at a time, then nothing more, and never hangs up."""
    tasks: set[asyncio.Task[None]] = set()

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            for octet in octets:
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(every)
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    try:
        yield Host(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def with_key(path: Path, leaf: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]) -> Path:
    """Write a certificate and its key as a server reads them."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key = leaf[1].private_bytes(encoding, form, serialization.NoEncryption())
    path.write_bytes(key + leaf[0].public_bytes(encoding))
    return path


async def test_one_that_drips_is_left_in_time_and_its_mail_waits() -> None:
    async with (
        saying(b"220 " + b"r" * 10_000, 0.05) as host,
        bench(host, relay_command_seconds=0.4, probe_first_seconds=600) as on,
    ):
        assert await on.deliver() == []
        ((_, entry),) = list(on.delivery._shelf.items())
        assert "no reply in time before MAIL" in entry.reply
        assert not entry.possible_duplicate
        (destination,) = on.delivery.queue.destinations
        assert destination.state == "down"


async def test_one_that_takes_connections_and_never_answers_is_down() -> None:
    async with saying(b"", 0) as host, bench(host, relay_command_seconds=0.3, probe_first_seconds=600) as on:
        assert await on.deliver() == []
        assert [d.state for d in on.delivery.queue.destinations] == ["down"]


async def test_one_that_greets_with_421_is_down_and_says_so(mta: LoopbackMta) -> None:
    mta.manners.greeting = (421, "4.3.2 too busy")
    async with bench(mta.host, probe_first_seconds=600) as on:
        assert await on.deliver() == []
        (destination,) = on.delivery.queue.destinations
        assert destination.state == "down"
        assert destination.reply.endswith("421 4.3.2 too busy")


@pytest.mark.parametrize("level", ["required", "verified"])
async def test_one_that_refuses_starttls_gets_nothing_in_plain_where_tls_is_asked(mta: LoopbackMta, level: str) -> None:
    mta.tls = "refused"
    host = Host(host=mta.host.host, port=mta.port, tls=level)
    async with bench(host, probe_first_seconds=600) as on:
        assert await on.deliver() == []
        ((_, entry),) = list(on.delivery._shelf.items())
        assert f"TLS ({level}) is needed" in entry.reply
    assert not mta.arrived


async def test_an_expired_certificate_does_where_nobody_asks_and_not_where_it_is_verified(mta: LoopbackMta) -> None:
    mta.tls = "fine"
    async with bench(mta.host) as on:
        (outcome,) = await on.deliver()
        assert outcome.state is State.DELIVERED
        assert outcome.tls.startswith("TLSv1.3 ")
    async with bench(Host(host="127.0.0.1", port=mta.port, tls="required")) as on:
        (outcome,) = await on.deliver()
        assert outcome.tls.endswith(" required")
    async with bench(Host(host="127.0.0.1", port=mta.port, tls="verified"), probe_first_seconds=600) as on:
        assert await on.deliver() == []
        ((_, entry),) = list(on.delivery._shelf.items())
        assert "TLS (verified) is needed" in entry.reply
        assert entry.recipients == (B,)


async def test_without_starttls_there_is_no_mail_where_tls_is_asked(mta: LoopbackMta) -> None:
    with pytest.raises(Unreachable, match="STARTTLS is not offered"):
        await SmtpDial(CONFIG, SystemClock(), FakeDns())(Host(host="127.0.0.1", port=mta.port, tls="required"))


async def test_dane_takes_the_certificate_of_the_record_and_no_other(mta: LoopbackMta, certificate: Path) -> None:
    mta.tls = "fine"
    shown = x509.load_pem_x509_certificate(await asyncio.to_thread(certificate.read_bytes))
    digest = hashlib.sha256(shown.public_bytes(serialization.Encoding.DER)).hexdigest()
    name = f"_{mta.port}._tcp.mta.far.test"
    dns = FakeDns({("mta.far.test", "A"): ("127.0.0.1",), (name, "TLSA"): (f"3 0 1 {digest}",)})
    dns.signed = {("mta.far.test", "A"), (name, "TLSA")}
    config = DeliveryConfig(hostname="mx.gatepost.test", dns_validating=True)
    dial = SmtpDial(config, SystemClock(), dns)
    session = await dial(Host(host="mta.far.test", port=mta.port))
    assert session.tls.endswith(" dane")
    await session.quit()
    dns.zone[name, "TLSA"] = ("3 0 1 " + "00" * 32,)
    with pytest.raises(Unreachable, match="not what its TLSA record says"):
        await dial(Host(host="mta.far.test", port=mta.port))
    await eventually(lambda: not mta.talking)


PINNED = [
    ("mta.far.test", "ours.pem", ""),
    ("mta.far.test", "other.pem", r"TLS \(pinned\) is needed"),
    ("mta.near.test", "ours.pem", r"TLS \(pinned\) is needed"),
    ("mta.far.test", "none.pem", "can't be read"),
]


@pytest.mark.parametrize(("name", "ca_file", "refusal"), PINNED)
async def test_a_host_shows_a_certificate_of_the_pinned_authority_and_no_other(
    mta: LoopbackMta, tmp_path: Path, name: str, ca_file: str, refusal: str
) -> None:
    root, key = signed(None, "ours", ca=True)
    stranger, _ = signed(None, "somebody else's", ca=True)
    for file, authority in (("ours.pem", root), ("other.pem", stranger)):
        (tmp_path / file).write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    mta.tls, mta.certificate = "fine", with_key(tmp_path / "mta.pem", signed((root, key), "mta.far.test", ca=False))
    config = DeliveryConfig(hostname="mx.gatepost.test", relay_ca_folder=str(tmp_path))
    dns = FakeDns({(known, "A"): ("127.0.0.1",) for known in ("mta.far.test", "mta.near.test")})
    dial = SmtpDial(config, SystemClock(), dns)
    host = Host(host=name, port=mta.port, tls="pinned", ca_file=ca_file)
    if refusal:
        with pytest.raises(Unreachable, match=refusal):
            await dial(host)
    else:
        session = await dial(host)
        assert session.tls.startswith("TLSv1.3 ")
        assert session.tls.endswith(" pinned")
        await session.quit()
    await eventually(lambda: not mta.talking)  # it hears of the end a moment later


async def test_a_policy_is_fetched_over_https_and_only_from_who_can_show_the_name(tmp_path: Path) -> None:
    root, key = signed(None, "root", ca=True)
    pem = with_key(tmp_path / "web.pem", signed((root, key), "mta-sts.far.test", ca=False))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    trusting = ssl.create_default_context(cadata=root.public_bytes(serialization.Encoding.PEM).decode())

    async def policy(_: web.Request) -> web.Response:
        return web.Response(text="version: STSv1\nmode: enforce\nmx: mx1.far.test\nmax_age: 60\n")

    app = web.Application()
    app.router.add_get("/.well-known/mta-sts.txt", policy)
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    server = await asyncio.get_running_loop().create_server(runner.server, "127.0.0.1", 0, ssl=serving)
    over = asyncio.create_task(server.wait_closed())  # asked before it closes: later, Python 3.11 doesn't wait
    port = server.sockets[0].getsockname()[1]
    dns = FakeDns({("mta-sts.far.test", "A"): ("127.0.0.1",), ("mta-sts.near.test", "A"): ("127.0.0.1",)})
    fetch = Https(dns, private=True, context=trusting, port=port)
    assert (await fetch("far.test")).startswith(b"version: STSv1")
    with pytest.raises(OSError, match="near"):
        await fetch("near.test")  # the certificate is another's
    with pytest.raises(OSError, match="mta-sts"):
        await Https(dns, context=trusting, port=port)("far.test")  # an address of our own network
    server.close()
    await over  # a connection whose handshake failed is not known to the runner
    await runner.cleanup()


async def test_a_connection_comes_from_its_pool_and_how_tls_went_is_told(mta: LoopbackMta) -> None:
    told: list[Result] = []
    dns = FakeDns({("mta.far.test", "A"): ("127.0.0.1",)})
    dial = SmtpDial(CONFIG, SystemClock(), dns, results=told.append)
    hop = Hop(host="mta.far.test", port=mta.port, via="far.test", sources=("127.0.0.66", "2001:db8::66"))
    session = await dial(hop)
    assert mta.peers[-1] == "127.0.0.66"
    await session.quit()
    mta.tls = "fine"
    await (await dial(hop)).quit()
    mta.tls = "refused"
    await (await dial(hop)).quit()
    assert [each.failure for each in told] == ["starttls-not-supported", "", "validation-failure"]
    assert {(each.domain, each.policy, each.host) for each in told} == {("far.test", "no-policy-found", "mta.far.test")}
    with pytest.raises(Unreachable):  # an address that this machine doesn't have
        await dial(Hop(host="mta.far.test", port=mta.port, via="far.test", sources=("192.0.2.66",)))
    with pytest.raises(Unreachable):  # none of the family
        await dial(Hop(host="mta.far.test", port=mta.port, via="far.test", sources=("2001:db8::66",)))
