"""A customer's client hands in mail, and the receiver's MX has it once, signed; nobody else hands in anything."""

from __future__ import annotations

import asyncio
import re
import smtplib
import socket
import ssl
import time
from pathlib import Path

import dkim as dkimpy

from services.ingress.submission.passwords import hashed
from services.runtime.ports import free_ports
from services.scanners.auth.dkim import Verifier, signatures
from services.scanners.mime import walk
from tests.corpora.files import zipped
from tests.eventually import eventually
from tests.house.gatepost import House
from tests.house.names import Names
from tests.house.sender import EICAR, with_attachment
from tests.house.signing import sign
from tests.house.sink import Sink
from tests.integration.backing import arguments, environ

PASSWORD = "correct horse"
STOPPED = re.compile(r"id=(\w+) .*event=decided .*rules=cards:delete")
CONFIG = """
customers:
  - id: acme
    domains:
      - {{name: acme.test, relay: ["127.0.0.1:{relay}"], recipients: any}}
    outbound:
      enabled: {enabled}
      accounts:
        - {{name: mta@acme.test, password: "{password}"}}
      disclaimer: {{text: [Acme Ltd, "1 Main Street"]}}
      notify: security@acme.test
      data_loss:
        - {{name: cards, numbers: card, then: block}}
"""
MESSAGE = (
    b"From: Anna <anna@acme.test>\r\nTo: victor@elsewhere.test\r\nSubject: the minutes\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@acme.test>\r\n\r\nHello Victor,\r\n\r\nsee below.\r\n"
)


def submit(port: int, message: bytes, recipients: list[str], *, password: str = PASSWORD) -> None:
    """Hand in a message over TLS; raises what smtplib raises."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.starttls(context=context)
        if password:
            client.login("mta@acme.test", password)
        client.sendmail("anna@acme.test", recipients, message)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def refused(port: int, *, password: str) -> int:
    """Return the code with which a message is refused."""
    try:
        await asyncio.to_thread(submit, port, MESSAGE, ["victor@elsewhere.test"], password=password)
    except smtplib.SMTPResponseException as error:
        return error.smtp_code
    except smtplib.SMTPRecipientsRefused:
        return 0
    raise AssertionError("it was taken")


async def traced(house: House, message: str) -> str:
    """Return what the trace says of the message, once it knows how it ended."""
    said = ""

    async def ended() -> bool:
        nonlocal said
        said = (await house.gatepost("trace", message)).out
        return "bounced" in said

    await eventually(ended, within=30)
    return said


async def test_what_a_customer_hands_in_arrives_once_and_signed_and_comes_back_when_nobody_has_it(
    tmp_path: Path, sink: Sink
) -> None:
    mx, door, submission = free_ports(3)
    config = tmp_path / "gatepost.yaml"
    about = {"relay": sink.port, "password": hashed(PASSWORD.encode(), lambda size: b"s" * size)}
    config.write_text(CONFIG.format(enabled="no", **about))
    records = {
        ("elsewhere.test", "MX"): ("20 mx2.elsewhere.test.", "10 mx1.elsewhere.test."),
        ("mx1.elsewhere.test", "A"): ("127.0.0.7",),  # nobody listens there
        ("mx2.elsewhere.test", "A"): ("127.0.0.1",),
        ("nomail.test", "MX"): ("0 .",),
    }
    async with Names(zone=records) as names, Sink(mx) as outside:
        settings = {
            "GATEPOST_DNS": names.address,
            "GATEPOST_RELAY_MX_PORT": str(mx),
            "GATEPOST_RELAY_PRIVATE_MX": "true",
            "GATEPOST_SUBMISSION_PORT": str(submission),
            "GATEPOST_SUBMISSION_TLS_PORT": "0",
            "GATEPOST_SCANNERS": "auth,dlp,virus",
            "GATEPOST_SIGNALS": "off",
            **environ(),
        }
        more = arguments(tmp_path.name)
        async with House(tmp_path / "data", door, "--config", str(config), *more, environ=settings) as house:
            config.write_text(CONFIG.format(enabled="yes", **about))
            applied = await house.gatepost("customers", "apply", str(config))
            assert applied.code == 0, applied
            await eventually(lambda: listens(submission), within=30)  # the door opens as soon as somebody has it on
            assert await refused(submission, password="") == 530
            assert await refused(submission, password="wrong") == 535

            await sign(house, names, "acme.test")
            recipients = ["victor@elsewhere.test", "walter@elsewhere.test", "nobody@nomail.test"]
            await asyncio.to_thread(submit, submission, MESSAGE, recipients)
            virus = with_attachment("bad", "eicar.com", EICAR).replace(b"alice@sender.test", b"anna@acme.test")
            await asyncio.to_thread(submit, submission, virus, ["victor@elsewhere.test"])

            listed = zipped(("list.csv", b"Anna;4111 1111 1111 1111\n"))
            card = with_attachment("the list", "list.zip", listed).replace(b"alice@sender.test", b"anna@acme.test")
            await asyncio.to_thread(submit, submission, card, ["victor@elsewhere.test"])

            await eventually(lambda: len(outside.arrivals) == 1 and len(sink.arrivals) == 3, within=30)
            balance = await house.gatepost("ledger")
            held = await house.gatepost("quarantine", "list")
            (stopped,) = {found[1] for line in house.log if (found := STOPPED.search(line))}
            trace = await traced(house, stopped)
    (arrival,) = outside.arrivals
    assert arrival.recipients == ("victor@elsewhere.test", "walter@elsewhere.test")
    assert arrival.reverse_path == "anna@acme.test"
    verified(arrival.content, names)
    assert b"X-Gatepost" not in arrival.content
    assert arrival.content.endswith(b"see below.\r\n\r\nAcme Ltd\r\n1 Main Street\r\n")  # and it was signed after that
    kinds = (b"null MX", b"Status: 5.7.1", b"One of your rules asks")
    returned, blocked, told = (next(each for each in sink.arrivals if kind in each.content) for kind in kinds)
    assert (returned.reverse_path, returned.recipients) == ("<>", ("anna@acme.test",))
    assert b"nobody@nomail.test" in returned.content
    masked = "payment card number ending in 1111 in list.zip/list.csv"
    assert blocked.recipients == ("anna@acme.test",)
    assert f"5.7.1 not sent, as the rule cards says: {masked}".encode() in blocked.content
    assert told.recipients == ("security@acme.test",)
    assert masked.encode() in told.content
    assert balance.code == 0, balance
    assert f"rule cards: {masked}" in trace
    assert all(b"4111 1111" not in each.content for each in (blocked, told))
    assert not any("4111 1111" in line for line in house.log)
    assert "victor@elsewhere.test" in held.out


def verified(message: bytes, names: Names) -> None:
    """Both signatures pass, by a verifier that is not ours where it knows the algorithm."""

    def txt(name: bytes) -> bytes:
        (text,) = names.zone[name.decode().removesuffix("."), "TXT"]
        return text.replace('" "', "").strip('"').encode()

    tree = walk(message)
    found = signatures(tree.fields)
    verifier = Verifier(tree.fields, bytes(tree.body), time.time())
    results = {each.tags[b"a"]: verifier.check(each, [txt(each.key_name.encode())]).result for each in found}
    assert results == {b"rsa-sha256": "pass", b"ed25519-sha256": "pass"}
    assert dkimpy.verify(message, dnsfunc=lambda name, timeout=5: txt(name))  # noqa: ARG005  # as dkimpy calls it
