"""What a customer sent is remembered, and tells replies, bounces of its own and backscatter apart."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from schemas.catalog import RECEIVED
from schemas.events import Action, Branch, Contact, Customer, Direction, Disposition, Envelope, Outbound, Sent, Status
from services.core.clock import ManualClock
from services.core.contacts import LEAST, Acquaintance, Contacts, digest
from services.core.sent import SentMail, message_digest, pair_digest, sender_digest, sent
from services.policy.outgoing import met
from services.runtime.bus import Record
from services.runtime.fakes import MemoryBus
from services.runtime.follow import follow_sent
from services.scanners.app import ScannerService
from services.scanners.briefing import Briefing, Briefings, brief
from services.scanners.checks import impersonation
from services.scanners.contract import Finding
from services.scanners.correspondence import pairs, readers, refers
from services.scanners.decide import BACKSCATTER, REPLY, acquainted, corresponding
from tests.eventually import eventually
from tests.mails import context, mail
from tests.samples import NOW, received

SALT = "11" * 16
OURS = "minutes.1@acme.test"
SENDS = Briefing(customer="example", salt=SALT, sends=True)


def out(message_id: str = OURS, path: str = "bob@example.test", to: str = "Alice@sender.test", n: int = 0) -> Sent:
    envelope = Envelope(reverse_path=path, recipients=(to,), client_ip="192.0.2.7")
    event = received(envelope=envelope, message_id=message_id, direction=Direction.OUTBOUND)
    return sent(event, SALT, (to,), NOW - n)


def memory(*events: Sent, others: int = LEAST) -> SentMail:
    view = SentMail()
    for number in range(others):
        view.apply(out(f"{number}@acme.test", "carla@example.test", f"{number}@far.test"))
    for each in events:
        view.apply(each)
    view.caught_up()
    return view


async def scanned(*more: str, body: str = "hello", **envelope: Any) -> tuple[Finding, Any]:
    fields = ("From: Alice <alice@sender.test>", "To: bob@example.test", "Message-ID: <new@sender.test>", *more)
    letter = mail("\r\n".join((*fields, "", body, "")).encode(), **envelope)
    return await impersonation.scan(letter, context(briefing=SENDS)), letter.received


async def codes(view: SentMail, *more: str, body: str = "hello", **envelope: Any) -> dict[str, float]:
    finding, event = await scanned(*more, body=body, **envelope)
    return {each.code: each.score for each in corresponding(finding, event, view, NOW).evidence}


async def test_a_reply_is_known_by_the_message_that_it_names() -> None:
    view = memory(out())
    assert await codes(view, f"In-Reply-To: <{OURS}>") == {"REPLY": REPLY}
    assert await codes(view, f"References: <x@y.test>\r\n <{OURS}>") == {"REPLY": REPLY}
    assert await codes(view, f"In-Reply-To: <not-{OURS}>") == {}
    other = memory(out(to="walter@far.test"))
    assert await codes(other, f"In-Reply-To: <{OURS}>") == {"REPLY_OF_ANOTHER": 0.0}


DSN = (
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b",
    (
        "--b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.far.test\r\n\r\n"
        "--b\r\nContent-Type: {kind}\r\n\r\nFrom: bob@example.test\r\nMessage-ID: <{id}>\r\n\r\n--b--"
    ),
)


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers"])
async def test_a_bounce_is_ours_or_it_is_not(kind: str) -> None:
    view = memory(out())
    ours = DSN[1].format(kind=kind, id=OURS)
    assert await codes(view, DSN[0], body=ours, reverse_path="") == {"BOUNCE_OF_OURS": 0.0}
    forged = DSN[1].format(kind=kind, id="forged@example.test")
    assert await codes(view, DSN[0], body=forged, reverse_path="") == {"BOUNCE_UNKNOWN": 1.0}
    silent = memory()  # bob has sent nothing
    assert await codes(silent, DSN[0], body=forged, reverse_path="") == {"BACKSCATTER": BACKSCATTER}
    assert await codes(memory(others=3), DSN[0], body=forged, reverse_path="") == {}  # too little is known
    fresh = SentMail()
    assert await codes(fresh, DSN[0], body=forged, reverse_path="") == {}  # nothing has been read yet


async def test_for_a_customer_that_does_not_send_through_us_nothing_is_worked_out() -> None:
    finding = await impersonation.scan(mail(b"From: a@b.test\r\n\r\nx\r\n"), context(briefing=Briefing(salt=SALT)))
    assert (finding.refers, finding.pairs, finding.readers) == ((), (), ())
    assert brief(Customer(id="x", salt=SALT, outbound=Outbound(enabled=True))).sends
    letter = mail(b"From: a@b.test\r\n\r\nx\r\n")
    assert (refers(letter, ""), pairs(letter, "a@b.test", ""), readers(letter, "")) == ((), (), ())


async def test_a_hostile_message_names_no_more_than_is_looked_at() -> None:
    many = "References: " + " ".join(f"<{n}@x.test>" for n in range(5_000))
    finding, _ = await scanned(many, body="Message-ID: <a@b>\r\n" * 5_000, reverse_path="")
    assert len(finding.refers) <= 40


def test_who_answers_is_no_first_contact() -> None:
    finding = Finding(status=Status.CLEAN, readers=("ab",), refers=(out().message,), pairs=out().pairs)
    found = corresponding(finding, received(), memory(out()), NOW)
    assert [each.code for each in found.evidence] == ["REPLY"]
    assert acquainted(found, Acquaintance.NEW, note=False).evidence == found.evidence


def test_digests_tell_nothing_without_the_salt_and_kinds_apart() -> None:
    assert message_digest("", OURS) == message_digest("no hex", OURS) == message_digest(SALT, "") == ""
    assert len({message_digest(SALT, "a@b"), sender_digest(SALT, "a@b"), digest(SALT, "a@b")}) == 3
    assert pair_digest(SALT, "A@b", "c@D") == pair_digest(SALT, "a@b", "c@d") != pair_digest(SALT, "c@d", "a@b")


def test_what_is_let_through_is_remembered_and_what_is_held_is_not() -> None:
    acme = Customer(id="example", salt=SALT)
    event = received(direction=Direction.OUTBOUND, message_id=OURS)
    branch = Branch(recipients=event.envelope.recipients, action=Action.DELIVER, rule="r", reason="")
    disposition = Disposition(received=event, branches=(branch,), status=Status.CLEAN, score=0.0, decided_at=NOW)
    contacts = Contacts()
    contacts.caught_up()
    _, (gone, contact) = met(disposition, acme, contacts, NOW)
    assert isinstance(gone, Sent)
    assert (gone.message, len(gone.pairs)) == (message_digest(SALT, OURS), 1)
    assert isinstance(contact, Contact)
    held = msgspec.structs.replace(branch, action=Action.QUARANTINE)
    assert met(msgspec.structs.replace(disposition, branches=(held,)), acme, contacts, NOW)[1] == ()


async def test_the_memory_follows_the_topic_and_a_scanner_uses_the_one_that_it_is_given() -> None:
    """An empty memory is false to Python: the scanner made one of its own, which nobody fed."""
    bus, view, contacts = MemoryBus(), SentMail(), Contacts()
    await bus.publish([out(), *(out(f"{n}@x.test") for n in range(LEAST))])

    class Scans:
        async def scan(self, scanner: str, received: object, briefing: bytes) -> Finding:  # noqa: ARG002  # the port's
            known = out()
            return Finding(
                status=Status.CLEAN, refers=(known.message,), pairs=known.pairs, readers=("ab",), contact="cd" * 8
            )

    service = ScannerService(impersonation.SPEC, Scans(), Briefings(lambda _: None), ManualClock(NOW), contacts, view)
    task = asyncio.create_task(follow_sent(bus, view))
    await eventually(lambda: view.told("example"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    contacts.apply(Contact(customer="example", digest="cd" * 8, at=NOW))
    contacts.caught_up()
    (verdict,) = await service.handle(Record(RECEIVED, 0, 0, "k", received(), NOW))
    assert [each.code for each in verdict.evidence] == ["REPLY"]  # type: ignore[union-attr]  # a verdict
    assert verdict.contact == ""  # type: ignore[union-attr]  # it is known, and not noted again
