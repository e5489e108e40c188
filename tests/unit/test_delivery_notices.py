"""Who is told that mail failed, what the notification says, and that it is made once."""

from __future__ import annotations

import email
import email.policy
import itertools
from email.message import EmailMessage
from typing import Any, cast

import msgspec
import pytest

from schemas.catalog import OUTCOMES, RECEIVED
from schemas.events import Action, Branch, Customer, Disposition, Domain, Envelope, Outcome, Received, State, Status
from services.core.errors import StoreUnavailable
from services.core.ids import born, is_message_id
from services.core.ledger import Book
from services.core.stored import unpack
from services.delivery.dsn import Failed, Report, compose
from services.delivery.notices import notice_id
from services.delivery.vouch import vouched
from services.policy.decide import OWN, decide, with_received
from tests.samples import NOW, received
from tests.unit.test_delivery import ALL, B, Bench, C, arrived

DAY = 86_400.0
PASS = (("spf", "pass smtp.mailfrom=sender.test"), ("dkim", "none"))


def disposition(
    results: tuple[tuple[str, str], ...], status: Status = Status.CLEAN, reverse_path: str = "a@sender.test"
) -> Disposition:
    envelope = Envelope(reverse_path=reverse_path, recipients=(B,), client_ip="192.0.2.1")
    branch = Branch(recipients=(B,), action=Action.DELIVER, rule="r", reason="")
    return Disposition(
        received=received(envelope=envelope),
        branches=(branch,),
        status=status,
        score=0,
        auth_results=results,
        decided_at=NOW,
    )


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ((("spf", "pass smtp.mailfrom=sender.test"),), True),
        ((("dkim", "pass header.d=sender.test header.s=x header.b=y"),), True),
        ((("dkim", "pass header.d=mail.sender.test"),), True),
        ((("spf", "fail smtp.mailfrom=sender.test"), ("dkim", "fail header.d=sender.test")), False),
        ((("spf", "pass smtp.mailfrom=other.test"),), False),
        ((("spf", "pass smtp.helo=sender.test"),), False),
        ((("dkim", "pass header.d=other.test"),), False),
        ((("dkim", 'fail reason="pass header.d=sender.test"'),), False),
        ((("dmarc", "pass header.from=sender.test"),), False),
        ((("spf", "passable smtp.mailfrom=sender.test"),), False),
        ((), False),
    ],
)
def test_only_a_sender_that_spf_or_dkim_vouches_for_is_told(results: tuple[tuple[str, str], ...], told: bool) -> None:
    assert vouched(disposition(results)) is told


@pytest.mark.parametrize("status", [Status.SPAM, Status.PHISHING, Status.VIRUS])
def test_nobody_is_told_of_what_was_called_bad(status: Status) -> None:
    assert not vouched(disposition(PASS, status))


def test_the_null_sender_is_never_told() -> None:
    assert not vouched(disposition((("spf", "pass smtp.mailfrom=mx.sender.test"),), reverse_path=""))


def report(**changes: Any) -> bytes:
    failed = changes.pop("failed", (Failed((B,), "failed", "5.0.0", "550 5.1.1 unknown"),))
    header = changes.pop("header", b"From: a@sender.test\r\nSubject: secret plans\r\n\r\n")
    fields: dict[str, Any] = {"id": "I", "hostname": "mx.gatepost.test", "sender": "a@sender.test", "arrived": NOW}
    return compose(Report(**{**fields, "at": NOW, "failed": failed, **changes}), header)


def parsed(content: bytes) -> EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)


def test_a_notification_is_a_report_as_rfc_3464_has_it() -> None:
    message = parsed(report())
    assert message.get_content_type() == "multipart/report"
    assert message["Auto-Submitted"] == "auto-replied"
    text, status, head = message.iter_parts()
    assert "550 5.1.1 unknown" in text.get_content()
    assert status.get_content_type() == "message/delivery-status"
    of_message, of_recipient = cast("list[EmailMessage]", status.get_payload())
    assert of_message["Reporting-MTA"] == "dns; mx.gatepost.test"
    assert {name: of_recipient[name] for name in ("Final-Recipient", "Action", "Status", "Diagnostic-Code")} == {
        "Final-Recipient": f"rfc822; {B}",
        "Action": "failed",
        "Status": "5.1.1",
        "Diagnostic-Code": "smtp; 550 5.1.1 unknown",
    }
    assert head.get_content_type() == "text/rfc822-headers"
    assert "secret plans" in head.as_string()


def test_a_status_is_there_also_where_the_mta_gave_none() -> None:
    assert b"Status: 4.4.7\r\n" in report(failed=(Failed((B,), "failed", "4.4.7", "Connection refused"),))
    assert b"Diagnostic-Code" not in report(failed=(Failed((B,), "failed", "4.4.7", "Connection refused"),))


def test_an_internationalised_recipient_makes_it_global() -> None:
    content = report(failed=(Failed(("björn@example.test",), "failed", "5.0.0", "550 nö"),))
    assert b"Content-Type: message/global-delivery-status" in content
    assert "Final-Recipient: utf-8; björn@example.test\r\n".encode() in content


def test_a_delay_says_until_when() -> None:
    content = report(failed=(Failed((B,), "delayed", "4.4.1", "451 later"),), until=NOW + DAY)
    assert b"Action: delayed\r\n" in content
    assert b"Will-Retry-Until: Wed, 15 Nov 2023 22:13:20 +0000\r\n" in content


def test_the_same_end_has_the_same_id() -> None:
    message = received().id
    first = notice_id(message, "bounce", [B, C])
    assert first == notice_id(message, "bounce", [C, B])
    assert is_message_id(first)
    assert born(first) == born(message)
    assert len({first, message, notice_id(message, "delay", [B, C]), notice_id(message, "bounce", [B])}) == 4


def notices(bench: Bench) -> list[Received]:
    return [event for event in bench.bus.events(RECEIVED) if isinstance(event, Received)]


async def test_a_refusal_for_good_is_told_and_counts_as_a_message() -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    bench.mta.manners.recipients = {C: (550, "5.1.1 unknown")}
    disposition = await bench.message(B, C, auth_results=PASS)
    await bench.handle(disposition)
    (notice,) = notices(bench)
    assert (notice.bounce_of, notice.envelope.reverse_path, notice.envelope.recipients) == (
        disposition.received.id,
        "",
        ("a@sender.test",),
    )
    stored, body = unpack(await bench.store.get(notice.key))
    assert stored == notice
    assert b"Final-Recipient: rfc822; c@example.test" in bytes(body)
    assert b"Final-Recipient: rfc822; b@example.test" not in bytes(body)
    assert b"\r\nbody\r\n" not in bytes(body)
    await bench.delivery.close()


async def test_a_crash_before_it_was_published_makes_no_second_one() -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    bench.mta.manners.recipients = {B: (550, "5.1.1 unknown")}
    disposition = await bench.message(B, auth_results=PASS)
    await bench.delivery.handle(bench.record(disposition))  # and the crash comes before its events are published
    bench.clock.advance(30)
    bench.delivery = bench.another()
    await bench.delivery.assigned(ALL)
    await bench.handle(disposition)
    (notice,) = notices(bench)
    assert unpack(await bench.store.get(notice.key))[0] == notice
    await bench.delivery.close()


async def test_who_is_not_vouched_for_hears_nothing() -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    bench.mta.manners.recipients = {B: (550, "5.1.1 unknown")}
    await bench.deliver(B)
    assert bench.ends() == [(B, State.BOUNCED)]
    assert not notices(bench)
    await bench.delivery.close()


def test_policy_lets_a_notification_through_whatever_the_rules_say() -> None:
    event = received(plan=(), bounce_of=received().id, domain="sender.test")
    answer = decide(with_received(None, event, 0), Customer(id="example"), NOW)
    assert isinstance(answer, Disposition)
    assert [(branch.action, branch.rule) for branch in answer.branches] == [(Action.DELIVER, OWN)]


async def test_a_notification_that_is_refused_is_told_to_nobody() -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    bench.mta.manners.recipients = {B: (550, "5.1.1 unknown")}
    disposition = await bench.message(B, auth_results=PASS)
    bounce = msgspec.structs.replace(disposition.received, bounce_of="X")
    await bench.handle(msgspec.structs.replace(disposition, received=bounce))
    assert bench.ends() == [(B, State.BOUNCED)]
    assert not notices(bench)
    await bench.delivery.close()


class Neighbours(Bench):
    """The sender's domain is one of the customer's too: notifications need no DNS."""

    def customer(self, customer: str) -> Customer | None:
        own = super().customer(customer)
        sender = Domain(name="sender.test", relay=self.relay)
        return None if own is None else msgspec.structs.replace(own, domains=(*own.domains, sender))


async def test_ten_days_down_expire_with_a_notification_and_the_ledger_balances() -> None:
    """The clock is a port: attempts follow the probe's backoff, and each message and each notification has one end."""
    bench = Neighbours()
    await bench.delivery.assigned(ALL)
    bench.mta.manners.up = False
    accepted = [await bench.message(f"r{n}@example.test", auth_results=PASS) for n in range(20)]
    for one in accepted:
        await bench.handle(one)
    tried: list[float] = []
    refused = bench.mta.refused
    while len(bench.delivery._shelf):
        due = bench.delivery.queue.tick() or NOW
        await bench.run(min(1800.0, max(1.0, due - bench.clock.now())))
        if bench.mta.refused > refused:
            tried += [bench.clock.now()] * (bench.mta.refused - refused)
            refused = bench.mta.refused
        assert bench.clock.now() < NOW + 10.1 * DAY
    gaps = [round(b - a) for a, b in itertools.pairwise(tried)]
    assert gaps[:6] == [120, 240, 480, 960, 1800, 1800]
    assert set(gaps[5:]) == {1800}
    assert len(tried) < 10 * 24 * 2 + 10  # one probe at a time, whatever waits
    assert bench.clock.now() == pytest.approx(NOW + 10 * DAY, abs=60)
    assert sorted(bench.ends()) == sorted((f"r{n}@example.test", State.EXPIRED) for n in range(20))
    told = notices(bench)
    assert sorted(notice.bounce_of for notice in told) == sorted(one.received.id for one in accepted)
    assert not arrived(bench)
    book = Book()
    for received_ in [*(one.received for one in accepted), *told]:
        book.accepted(received_)
    bench.mta.manners.up = True
    for notice in told:  # accepted mail as any other: decided, relayed, ended
        decided = decide(with_received(None, notice, 0), Customer(id="example"), bench.clock.now())
        assert isinstance(decided, Disposition)
        await bench.handle(decided)
    await bench.run(1800)
    for event in bench.bus.events(OUTCOMES):
        assert isinstance(event, Outcome)
        book.ended(event)
    assert (book.open(), book.doubts, book.repeated) == ({}, [], {})
    (account,) = book.accounts().values()
    assert (account.accepted, account.ended) == (40, {"expired": 20, "delivered": 20})
    await bench.delivery.close()


class Patient(Bench):
    """The customer wants senders told of mail that waits."""

    hours = 0.0

    def customer(self, customer: str) -> Customer | None:
        own = super().customer(customer)
        return None if own is None else msgspec.structs.replace(own, delay_warning_hours=self.hours)


@pytest.mark.parametrize(("hours", "told"), [(0.0, 0), (4.0, 1)])
async def test_a_delay_is_told_once_and_only_where_the_customer_wants_it(hours: float, told: int) -> None:
    bench = Patient()
    bench.hours = hours
    await bench.delivery.assigned(ALL)
    bench.mta.manners.up = False
    await bench.deliver(B, auth_results=PASS)
    for _ in range(12):
        await bench.run(3600)
    assert len(notices(bench)) == told
    assert len(bench.waiting()) == 1
    await bench.delivery.close()


async def test_who_has_it_does_not_get_it_again_when_the_bounce_of_another_cannot_be_stored() -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    bench.mta.manners.recipients = {C: (550, "5.1.1 unknown")}
    disposition = await bench.message(B, C, auth_results=PASS)
    bench.store.fail("put", StoreUnavailable("down"))
    assert [one.recipients for one in await bench.handle(disposition)] == [(B,)]
    assert [(one.recipients, one.attempts) for one in bench.waiting()] == [((C,), 1)]
    await bench.run(120)
    assert bench.ends() == [(B, State.DELIVERED), (C, State.BOUNCED)]
    assert len(notices(bench)) == 1
    assert arrived(bench) == [(B,)]
    await bench.delivery.close()


async def test_who_has_it_does_not_get_it_again_when_the_warning_of_a_delay_cannot_be_stored() -> None:
    bench = Patient()
    bench.hours = 1 / 3600
    await bench.delivery.assigned(ALL)
    bench.mta.manners.recipients = {C: (450, "4.2.1 busy")}
    disposition = await bench.message(B, C, auth_results=PASS)
    bench.clock.advance(2)
    bench.store.fail("put", StoreUnavailable("down"))
    assert [one.recipients for one in await bench.handle(disposition)] == [(B,)]
    assert notices(bench) == []
    await bench.run(120)
    assert arrived(bench) == [(B,)]
    assert len(notices(bench)) == 1
    await bench.delivery.close()


async def test_a_warning_that_cannot_be_stored_is_given_later() -> None:
    bench = Patient()
    bench.hours = 4.0
    await bench.delivery.assigned(ALL)
    bench.mta.manners.up = False
    await bench.deliver(B, auth_results=PASS)
    await bench.run(3 * 3600)
    bench.store.down = True
    await bench.run(3 * 3600)
    assert notices(bench) == []
    bench.store.down = False
    for _ in range(12):
        await bench.run(3600)
    assert len(notices(bench)) == 1
    await bench.delivery.close()
