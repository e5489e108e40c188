"""The whole path, from a sender's MTA to a customer's MTA, as a user starts it.

The same tests run on the embedded broker and folder, and on a cluster and S3: GATEPOST_TEST_KAFKA and GATEPOST_TEST_S3
name those.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import time
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import dkim
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.corpora.files import zipped
from tests.house.gatepost import House, until
from tests.house.sender import EICAR, GTUBE, plain, send, with_attachment
from tests.house.sink import Sink
from tests.integration.pipeline import CONFIG, house_in, many, subjects

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, mta: Sink) -> AsyncIterator[House]:
    """One Gatepost for tests that leave it up: starts and stops were most of their time."""
    async with house_in(tmp_path_factory.mktemp("pipeline"), mta.port) as house:
        yield house


@pytest_asyncio.fixture(loop_scope="module")
async def sink(mta: Sink) -> Sink:
    """The MTA, up, and with nothing of the tests before."""
    await mta.up()
    mta.arrivals.clear()
    return mta


@pytest_asyncio.fixture(loop_scope="module")
async def house(shared: House, sink: Sink) -> House:  # noqa: ARG001 - the MTA is to be up
    """Gatepost, up, relaying to the sink."""
    if not shared.running:  # a test that failed in the middle left it so
        await shared.up()
    return shared


def held(listing: str) -> dict[str, str]:
    """Return subject → id of what `gatepost quarantine list` printed."""
    found = {}
    for line in listing.splitlines():
        if match := re.match(r"([0-7][0-9A-Z]{25}) .*?(eicar|gtube)[ -]?\w*", line):
            found[match[2]] = match[1]
    return found


async def test_clean_mail_arrives_and_what_is_bad_is_held_until_released(house: House, sink: Sink) -> None:
    forged = b"X-Gatepost: id=forged; status=clean\r\nx-gatepost-unscanned: forged\r\n\tforged\r\n"
    reply = await send(house.port, forged + plain("first light"))
    assert reply.code == 250, reply
    await until(lambda: len(sink.arrivals) == 1, 20)
    (first,) = sink.arrivals
    assert first.recipients == ("bob@example.test",)
    assert first.reverse_path == "alice@sender.test"
    assert re.search(r"id=[0-9A-Z]{26}; status=clean", first.header("X-Gatepost"))
    assert b"forged" not in first.content
    assert "spf=" in first.header("Authentication-Results")
    assert "by " in first.header("Received")

    assert (await send(house.port, with_attachment("eicar", "invoice.exe", EICAR))).code == 250
    assert (await send(house.port, plain("gtube", f"{GTUBE}\r\n"))).code == 250
    listing = ""

    async def both_held() -> bool:
        nonlocal listing
        listing = (await house.gatepost("quarantine", "list")).out
        return held(listing).keys() == {"eicar", "gtube"}

    deadline = time.monotonic() + 20
    while not await both_held():
        assert time.monotonic() < deadline, listing
    assert subjects(sink) == {"first light": 1}

    show = await house.gatepost("quarantine", "show", held(listing)["eicar"])
    assert "EICAR" in show.out.upper()
    answer = await house.gatepost("quarantine", "release", held(listing)["gtube"])
    assert answer.code == 0, answer
    await until(lambda: subjects(sink)["gtube"] == 1, 20)
    assert (await house.gatepost("quarantine", "delete", held(listing)["eicar"])).code == 0
    again = await house.gatepost("quarantine", "release", held(listing)["gtube"])
    assert again.code == 2
    assert again.err.startswith("gatepost: ")
    assert again.err.count("\n") == 1
    await asyncio.sleep(1)
    assert subjects(sink) == {"first light": 1, "gtube": 1}


async def test_unknown_domains_and_recipients_are_refused_at_the_door(house: House) -> None:
    assert (await send(house.port, plain("relay"), ["someone@elsewhere.test"])).text.startswith("550 5.7.1")
    assert (await send(house.port, plain("nobody"), ["carol@strict.test"])).text.startswith("550 5.1.1")
    assert (await send(house.port, plain("ann"), ["Ann@strict.test"])).code == 250


async def test_customers_change_without_a_restart(house: House, sink: Sink, tmp_path: Path) -> None:
    assert (await send(house.port, plain("new"), ["x@new.test"])).code == 550
    config = tmp_path / "changed.yaml"
    config.write_text(CONFIG.format(port=sink.port).replace("strict.test", "new.test").replace("[ann, bob]", "any"))
    answer = await house.gatepost("customers", "apply", str(config))
    assert answer.code == 0, answer
    deadline = time.monotonic() + 10
    while (await send(house.port, plain("new"), ["x@new.test"])).code != 250:
        assert time.monotonic() < deadline
    await until(lambda: subjects(sink)["new"] == 1, 20)
    assert (await send(house.port, plain("gone"), ["ann@strict.test"])).code == 550
    config.write_text(CONFIG.format(port=sink.port))
    assert (await house.gatepost("customers", "apply", str(config))).code == 0  # as it was, for the tests that follow


def odd_messages() -> dict[str, bytes]:
    """Messages whose bytes a careless hop would change."""
    head = b"From: a@sender.test\r\nTo: b@example.test\r\nMIME-Version: 1.0\r\nSubject: "
    return {
        name: head + name.encode() + b"\r\n\r\n" + body
        for name, body in {
            "dots": b".\r\n..\r\n.leading\r\nmiddle.\r\n...three\r\n",
            "eight": "Grüße, ñandú, 日本\r\n".encode() + bytes(range(128, 256)) + b"\r\n",
            "long": b"x" * 5_000 + b"\r\n",
            "spaces": b"trailing   \r\n\t\r\n \r\n\r\n\r\n",
            "empty": b"",
            "big": b"0123456789abcdef\r\n" * 60_000,
            "from": b"From here on\r\n>From there\r\n",
        }.items()
    }


def corpus(limit: int) -> list[bytes]:
    """Real messages from the folder GATEPOST_TEST_CORPUS, in the form in which SMTP carries them."""
    folder = os.environ.get("GATEPOST_TEST_CORPUS")
    if not folder:
        if os.environ.get("CI") == "true":
            pytest.fail("GATEPOST_TEST_CORPUS names no folder of real messages")
        return []
    found = []
    for path in sorted(Path(folder).rglob("*"))[: limit * 3 : 3]:
        if path.is_file() and b"\0" not in (raw := path.read_bytes()):
            raw = re.sub(rb"\AFrom [^\n]*\n", b"", raw)
            found.append(re.sub(rb"\r\n|\r|\n", b"\r\n", raw))
    return found


async def test_bytes_arrive_as_they_were_sent(house: House, sink: Sink) -> None:
    sent = list(odd_messages().values()) + [
        b"X-Number: %d\r\n" % number + message for number, message in enumerate(corpus(600))
    ]
    replies = await many(house, sent, 8, "bob@everything.test")
    assert {reply.code for reply in replies} == {250}
    await until(lambda: len(sink.arrivals) >= len(sent), 120)
    arrived = [arrival.content for arrival in sink.arrivals]
    for message in sent:
        whole = message if message.endswith(b"\r\n") else message + b"\r\n"
        found = next((content for content in arrived if content.endswith(whole)), None)
        assert found is not None, whole[:400]
        arrived.remove(found)
        added = found[: -len(whole)]
        assert all(line.split(b":")[0] in OURS or line[:1] in b" \t" for line in added.split(b"\r\n") if line)
    assert arrived == []


OURS = {b"X-Gatepost", b"Authentication-Results", b"Received", b"X-Spam-Flag"}


async def test_a_rule_takes_out_programs_and_archives_that_hold_one(house: House, sink: Sink) -> None:
    message = EmailMessage(policy=SMTP)
    message["From"], message["Subject"] = "a@files.test", "files"
    message.set_content("see below\n")
    for name, octets in (
        ("run.exe", b"MZ no program"),
        ("tools.zip", zipped(("in/run.exe", b"MZ no program"))),
        ("notes.zip", zipped(("notes.txt", b"hello"))),
        ("a.pdf", b"%PDF-1.7\n"),
    ):
        message.add_attachment(octets, maintype="application", subtype="octet-stream", filename=name)
    before = message.as_bytes()
    answer = await send(house.port, before, ["x@everything.test"], reverse_path="a@files.test")
    assert answer.code == 250, answer
    await until(lambda: subjects(sink)["files"] == 1, 20)
    (arrival,) = (each for each in sink.arrivals if each.header("Subject") == "files")
    parts = list(message_from_bytes(arrival.content, policy=SMTP).iter_parts())
    # The one archive can't be told from the other here, so both go; what is no archive stays, octet by octet.
    assert [part.get_filename() for part in parts] == [None, None, None, None, "a.pdf"]
    for part, name in zip(parts[1:4], ("run.exe", "tools.zip", "notes.zip"), strict=True):
        assert f"Name: {name}" in part.get_content()
    assert arrival.content.rstrip().endswith(before[before.rindex(b"\r\n--", 0, -10) :].rstrip())
    (message_id,) = re.findall(r"[0-7][0-9A-Z]{25}", answer.text)
    deadline = time.monotonic() + 20
    while "without its attachments run.exe, tools.zip, notes.zip" not in (
        trace := (await house.gatepost("trace", message_id)).out
    ):
        assert time.monotonic() < deadline, trace
    assert "takes out attachments: .exe" in trace


async def test_a_signature_that_verified_before_still_verifies_after(house: House, sink: Sink) -> None:
    key, record = signing_key()
    message = plain("signed", "With  odd   spaces \r\n.dot\r\n\r\n\r\n")
    signed = (
        dkim.sign(message, b"s1", b"sender.test", key, include_headers=[b"From", b"To", b"Subject", b"Date"]) + message
    )
    assert dkim.verify(signed, dnsfunc=lambda *_, **__: record)
    assert (await send(house.port, signed)).code == 250
    await until(lambda: subjects(sink)["signed"] == 1, 20)
    arrived = sink.arrivals[0].content
    assert arrived != signed
    assert dkim.verify(arrived, dnsfunc=lambda *_, **__: record)
    assert message_from_bytes(arrived)["DKIM-Signature"]


def signing_key() -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


async def test_mail_waits_while_the_customers_mta_is_down_and_then_arrives_once(house: House, sink: Sink) -> None:
    await sink.down()
    names = [f"waiting {number}" for number in range(60)]
    replies = await many(house, [plain(name) for name in names], 16)
    assert {reply.code for reply in replies} == {250}
    await asyncio.sleep(2)
    assert sink.arrivals == []
    await sink.up()
    await until(lambda: len(sink.arrivals) >= len(names), 90)
    await asyncio.sleep(2)
    assert subjects(sink) == dict.fromkeys(names, 1)


async def test_what_waits_for_the_mta_survives_a_restart(house: House, sink: Sink) -> None:
    await sink.down()
    names = [f"kept {number}" for number in range(20)]
    replies = await many(house, [plain(name) for name in names], 8)
    assert {reply.code for reply in replies} == {250}
    await asyncio.sleep(2)
    assert await house.stop() == 0
    await sink.up()
    await house.up()
    await until(lambda: len(sink.arrivals) >= len(names), 90)
    await asyncio.sleep(2)
    assert subjects(sink) == dict.fromkeys(names, 1)


async def test_a_second_start_goes_on_where_the_first_stopped(house: House, sink: Sink) -> None:
    names = [f"stopped {number}" for number in range(100)]
    sending = asyncio.create_task(many(house, [plain(name) for name in names], 16))
    await until(lambda: len(sink.arrivals) >= 10, 60)
    members = house.members()
    assert len(members) >= 4
    assert await house.stop() == 0
    assert not members.keys() & house.members().keys()  # Ctrl-C stopped all of it
    replies = await sending
    accepted = {name for name, reply in zip(names, replies, strict=True) if reply.code == 250}
    await house.up()
    await until(lambda: accepted <= subjects(sink).keys(), 60)
    await asyncio.sleep(1)
    assert all(count == 1 for count in subjects(sink).values())


async def test_a_client_that_hangs_up_after_the_dot_leaves_no_half(house: House, sink: Sink) -> None:
    before = len(house.log)
    for number in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        lines = "EHLO x.test\r\nMAIL FROM:<a@sender.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n"
        await reader.readline()
        for line in lines.splitlines():
            writer.write(f"{line}\r\n".encode())
            while (await reader.readline())[3:4] == b"-":
                pass
        writer.write(plain(f"hang up {number}") + b".\r\n")
        await writer.drain()
        writer.close()
    await until(lambda: sum("event=decided" in line for line in house.log[before:]) == 20, 30)
    await until(lambda: len(sink.arrivals) == 20, 30)
    if house.site.store.startswith("s3://"):
        return
    objects = Path(house.site.store)
    await until(lambda: not [path for path in objects.rglob("*") if path.is_file() and "mail" in path.parts], 30)
