"""Postfix hands in, Postfix receives: signed, over TLS, and only to whom MTA-STS and DANE say that it may go.

The customer's Postfix is known by its certificate, at the port where TLS comes first. The receiving one has a door for
each domain: with the certificate that the domain's policy or TLSA record asks for, with another one, without TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import re
import smtplib
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bench import engines
from bench.postfix import postfix
from services.runtime.ports import free_ports
from tests.eventually import eventually
from tests.house.authority import Pair, made
from tests.house.gatepost import House
from tests.house.names import Names
from tests.house.signing import sign
from tests.house.sink import Sink
from tests.integration.backing import arguments, environ
from tests.parts import lacking

STS, OTHER, DANE, WRONG, PLAIN = DOMAINS = ("sts.test", "sts-wrong.test", "dane.test", "dane-wrong.test", "plain.test")
CONFIG = """
customers:
  - id: acme
    domains:
      - {{name: acme.test, relay: ["127.0.0.1:{relay}"], recipients: any}}
    outbound:
      enabled: yes
      certificates:
        - {{ca: {ca}, names: [mta.acme.test]}}
      data_loss:
        - {{name: zebra, words: [zebra], then: encrypt, recipients: ["@plain.test"]}}
"""
MESSAGE = (
    b"From: Anna <anna@acme.test>\r\nTo: Victor <victor@elsewhere.test>\r\nSubject: the minutes\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@acme.test>\r\n\r\nHello Victor,\r\n\r\nof the zebra.\r\n"
)


def tlsa(pair: Pair) -> str:
    """Return the record that means the pair's key (RFC 7672 section 3.1.1)."""
    return f"3 1 1 {hashlib.sha256(pair.spki).hexdigest()}"


def door(address: str, port: int, pair: Pair | None) -> str:
    """Return the lines of master.cf for one more door."""
    tls = f"\n  -o smtpd_tls_security_level=may\n  -o smtpd_tls_chain_files={pair.file}" if pair else ""
    return f"{address}:{port} inet n - n - - smtpd{tls}"


@contextlib.asynccontextmanager
async def policies(address: str, pair: Pair) -> AsyncIterator[None]:
    """Serve the MTA-STS policy of each domain that asks for one (RFC 8461 section 3.3)."""

    async def policy(request: web.Request) -> web.Response:
        domain = request.host.removeprefix("mta-sts.")
        return web.Response(text=f"version: STSv1\nmode: enforce\nmx: mx.{domain}\nmax_age: 86400\n")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.file)
    app = web.Application()
    app.router.add_get("/.well-known/mta-sts.txt", policy)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, 443, ssl_context=context).start()
        yield
    finally:
        await runner.cleanup()


async def checked(message: bytes, names: Names, folder: Path) -> dict[str, Any]:
    """Return rspamd's symbols, which asks our name server for the keys."""
    asks = f'dns {{ nameserver = ["{names.address}"]; timeout = 1s; retransmits = 1; }}\nlocal_addrs = "192.0.2.255";\n'
    about = {"From": "anna@acme.test", "Rcpt": f"victor@{STS}", "IP": "192.0.2.7", "Helo": "mx.gatepost.test"}
    async with (
        engines.rspamd(folder, {"options.inc": asks}) as server,
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/checkv2", data=message, headers=about) as said,
    ):
        answer: dict[str, Any] = await said.json(content_type=None)
    symbols: dict[str, Any] = answer["symbols"]
    return symbols


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder where Postfix's own user may enter, as it can't below pytest's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_postfix_relays_out_through_gatepost_to_postfix(folder: Path) -> None:
    try:
        await relays_out(folder)
    except engines.PeerMissing as error:
        lacking(str(error))


async def relays_out(folder: Path) -> None:
    first, second = random.randint(64, 127), random.randint(1, 254)  # addresses of this test alone
    address = {name: f"127.{first}.{second}.{number}" for number, name in enumerate((*DOMAINS, "www"), 10)}
    ca = made(folder, "ca.test", ca=True)
    shown = {
        STS: made(folder, f"mx.{STS}", ca),
        OTHER: made(folder, "mx.elsewhere.test", ca, stem="other"),  # vouched for, under another name
        DANE: made(folder, f"mx.{DANE}"),  # nobody vouches for it but DNS
        WRONG: made(folder, f"mx.{WRONG}"),
        PLAIN: None,
    }
    right = made(folder, f"mx.{WRONG}", stem="later")
    web_pair = made(folder, f"mta-sts.{STS}", ca, also=(f"mta-sts.{OTHER}",))
    client = made(folder, "mta.acme.test", ca)
    mx, smtp, submission, sealed, arrives, returns = free_ports(6)
    names = Names(
        zone={
            **{(domain, "MX"): (f"10 mx.{domain}.",) for domain in DOMAINS},
            **{(f"mx.{domain}", "A"): (address[domain],) for domain in DOMAINS},
            **{(f"_mta-sts.{domain}", "TXT"): ('"v=STSv1; id=1"',) for domain in (STS, OTHER)},
            **{(f"mta-sts.{domain}", "A"): (address["www"],) for domain in (STS, OTHER)},
            (f"_{mx}._tcp.mx.{DANE}", "TLSA"): (tlsa(made_of(shown, DANE)),),
            (f"_{mx}._tcp.mx.{WRONG}", "TLSA"): (tlsa(right),),
        }
    )
    names.signed = {each for of in (DANE, WRONG) for each in (of, f"mx.{of}", f"_{mx}._tcp.mx.{of}")}
    doors = [door(address[domain], mx, pair) for domain, pair in shown.items()]
    sink, back = Sink(arrives), Sink(returns)
    config = folder / "gatepost.yaml"
    config.write_text(CONFIG.format(relay=back.port, ca=ca.text))
    settings = {
        "GATEPOST_DNS": "",
        "GATEPOST_DNS_VALIDATING": "true",
        "GATEPOST_RELAY_MX_PORT": str(mx),
        "GATEPOST_RELAY_PRIVATE_MX": "true",
        "GATEPOST_SUBMISSION_PORT": str(submission),
        "GATEPOST_SUBMISSION_TLS_PORT": str(sealed),
        "GATEPOST_SCANNERS": "dlp,virus",
        "GATEPOST_SIGNALS": "off",
        "GATEPOST_PROBE_MOST_SECONDS": "1",
        "SSL_CERT_FILE": str(ca.file),
        **environ(),
    }
    ours = ["smtp_tls_security_level = encrypt", "smtp_tls_wrappermode = yes", f"smtp_tls_chain_files = {client.file}"]
    async with contextlib.AsyncExitStack() as stack:
        for part in (names, sink, back):
            await stack.enter_async_context(part)
        await stack.enter_async_context(policies(address["www"], web_pair))
        everywhere = ", ".join(DOMAINS)
        await stack.enter_async_context(postfix(folder / "far", sink.port, everywhere, doors=doors))
        near = await stack.enter_async_context(postfix(folder / "near", sealed, everywhere, ours))
        settings["GATEPOST_DNS"] = names.address
        house = House(folder / "data", smtp, "--config", str(config), *arguments(folder.name), environ=settings)
        await stack.enter_async_context(house)
        await sign(house, names, "acme.test")

        recipients = [f"victor@{domain}" for domain in DOMAINS]
        await asyncio.to_thread(hand_in, near.port, recipients)
        await eventually(lambda: all(waits(house, domain) for domain in (OTHER, WRONG, PLAIN)), within=30)
        await eventually(lambda: len(sink.arrivals) == 2, within=30)
        assert {each.recipients[0] for each in sink.arrivals} == {f"victor@{STS}", f"victor@{DANE}"}
        assert "TLS (mta-sts) is needed: SSLCertVerificationError" in waits(house, OTHER)
        assert "TLS (dane) is needed: the certificate is not what its TLSA record says" in waits(house, WRONG)
        assert "TLS (verified) is needed: STARTTLS is not offered" in waits(house, PLAIN)
        assert [ended(house, domain) for domain in (STS, DANE)] == ["mta-sts", "dane"]

        # What waits isn't lost: with the right record it goes.
        names.zone[f"_{mx}._tcp.mx.{WRONG}", "TLSA"] = (tlsa(made_of(shown, WRONG)),)
        await eventually(lambda: len(sink.arrivals) == 3, within=30)
        assert sink.arrivals[2].recipients == (f"victor@{WRONG}",)
        symbols = await checked(sink.arrivals[0].content, names, folder / "rspamd")
    assert sorted(symbols["R_DKIM_ALLOW"]["options"]) == ["acme.test:s=gp1", "acme.test:s=gp1e"]
    assert b"with ESMTPS" in sink.arrivals[0].content  # our own Received, of the customer's Postfix


def made_of(shown: dict[str, Pair | None], domain: str) -> Pair:
    pair = shown[domain]
    assert pair is not None
    return pair


def hand_in(port: int, recipients: list[str]) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as mta:
        mta.sendmail("anna@acme.test", recipients, MESSAGE)


def waits(house: House, domain: str) -> str:
    """Return why a message for the domain waits, empty when none does."""
    lines = [line for line in house.log if "event=deferred" in line and f"reply=mx.{domain}:" in line]
    return lines[-1] if lines else ""


def ended(house: House, domain: str) -> str:
    """Return what the TLS of a delivery to the domain had to fulfil."""
    found = (re.search(rf"event=delivered .*host=mx\.{domain}:\d+ tls=\S+ \S+ (\S+) ", line) for line in house.log)
    return next((match[1] for match in found if match), "")
