"""When an account looks stolen, who is held for it, and what the administrator is told."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import msgspec
import pytest

from schemas.catalog import SENDER_HOLDS, key_of
from schemas.events import (
    Action,
    Branch,
    Contact,
    Customer,
    DigestPlan,
    Direction,
    Disposition,
    Domain,
    Envelope,
    Event,
    Outbound,
    Outcome,
    Received,
    SenderHold,
    State,
    Status,
)
from services.core.administrators import administrators
from services.core.conduct import Bounds, Conduct, Reason, Usual, judged, learnt, no_such_address, today, told, usual
from services.core.contacts import Contacts, digest
from services.core.holds import SenderHolds
from services.core.signals import Kind
from services.delivery.hold_notice import HoldNotices, compose, notice_id
from services.policy.outgoing import HELD, met, stopped
from services.runtime.bus import Record
from services.runtime.fakes_store import MemoryStore
from services.signals.app import CELL, NOTHING, _more, _sums
from services.signals.config import SignalsConfig
from services.signals.decide import Limit, sightings
from tests.samples import NOW, received

DAY = 86_400.0
BOUNDS = Bounds(burst=300, day=1_000, growth=5.0, failed=50, bad=20, share=0.3)
SALT = "00" * 16
ACME = Customer(id="acme", salt=SALT, domains=(Domain(name="acme.test", relay=()),))


def sent(**changes: Any) -> Received:
    recipients = changes.pop("recipients", ("v@far.test", "w@far.test"))
    path = changes.pop("path", "Anna@acme.test")
    envelope = Envelope(reverse_path=path, recipients=recipients, client_ip="192.0.2.7")
    own: dict[str, Any] = {"customer": "acme", "direction": Direction.OUTBOUND, "submitter": "192.0.2.7"}
    return received(**{**own, "envelope": envelope, **changes})


def decided(of: Received, **changes: Any) -> Disposition:
    branch = Branch(recipients=of.envelope.recipients, action=Action.DELIVER, rule="default", reason="")
    one = Disposition(received=of, branches=(branch,), status=Status.CLEAN, score=0.0, decided_at=NOW)
    return msgspec.structs.replace(one, **changes)


def hold(**changes: Any) -> SenderHold:
    one = SenderHold(
        customer="acme", sender="anna@acme.test", held=True, reasons=(Reason.BURST,), why="much", by="signals", at=NOW
    )
    return msgspec.structs.replace(one, **changes)


# --- what is judged


@pytest.mark.parametrize(
    ("did", "before", "expected"),
    [
        (Conduct(sent=400, strangers=390, senders=1), 0, (Reason.BURST,)),
        (Conduct(sent=299, strangers=299, senders=1), 0, ()),  # not so much
        (Conduct(sent=5_000, strangers=40, senders=1), 0, ()),  # a newsletter to whom it wrote before
        (Conduct(sent=900, strangers=900, senders=1), 200, ()),  # not so much more than usual
        (Conduct(sent=1_000, strangers=900, senders=1), 200, (Reason.BURST,)),
        (Conduct(sent=100, failed=50, senders=1), 100, (Reason.FAILURES,)),
        (Conduct(sent=400, failed=50, senders=1), 400, ()),  # an old list
        (Conduct(sent=40, bad=20, senders=1), 100, (Reason.BAD,)),
        (Conduct(sent=400, strangers=400, failed=150, bad=130, today=1_000, senders=1), 0, tuple(Reason)),
        (Conduct(sent=100, strangers=100, today=1_000, senders=1), 100, (Reason.DAY,)),  # below a burst, all day long
        (Conduct(sent=100, strangers=100, today=1_000, senders=1), 201, ()),
        (Conduct(), 0, ()),
    ],
)
def test_what_only_a_thief_does(did: Conduct, before: int, expected: tuple[Reason, ...]) -> None:
    assert judged(did, Usual(sent=before, strangers=before), BOUNDS) == expected


def test_an_account_is_not_held_for_the_one_sender_that_is_held_itself() -> None:
    bounds = SignalsConfig().bounds()[Kind.ACCOUNT_CONDUCT]
    assert judged(Conduct(sent=900, strangers=900, senders=1), Usual(), bounds) == ()
    assert judged(Conduct(sent=900, strangers=900, senders=10), Usual(), bounds) == (Reason.BURST,)


def test_a_bound_of_zero_is_none() -> None:
    off = Bounds(burst=0, day=0, growth=5.0, failed=0, bad=0, share=0.3)
    did = Conduct(sent=9_000, strangers=9_000, failed=9_000, bad=9_000, today=9_000, senders=1)
    assert judged(did, Usual(), off) == ()


def test_what_is_usual_is_the_most_of_the_last_days_and_not_of_today() -> None:
    habit = learnt((), NOW, 100, 7, 60)
    assert habit is not None
    assert usual(habit, NOW) == Usual()
    assert usual(habit, NOW + DAY) == Usual(100, 7)
    assert usual(habit, NOW + 14 * DAY) == Usual(100, 7)
    assert usual(habit, NOW + 15 * DAY) == Usual()
    assert (today(habit, NOW), today(habit, NOW + DAY)) == (7, 0)
    assert learnt(habit, NOW, 110, 0, 60) is None  # hardly more
    assert learnt(habit, NOW, 110, 2, 60) == [[int(NOW // DAY), 100, 9]]
    assert learnt(habit, NOW, 125, 0, 60) == [[int(NOW // DAY), 125, 7]]
    assert learnt((), NOW, 59, 0, 60) is None
    assert len(learnt(habit, NOW + 15 * DAY, 60, 0, 60) or ()) == 1


def test_a_person_reads_what_was_seen() -> None:
    line = told(Conduct(sent=412, strangers=398, failed=7, senders=1), Usual(sent=60))
    assert line == "412 recipients within 10 min (at most 60 before), 398 of them never written to, 7 that don't exist"


@pytest.mark.parametrize(
    ("reply", "expected"),
    {
        "550 5.1.1 No such user": True,
        "556 5.1.10 nomail.test takes no mail": True,
        "550 5.7.1 your address is blocked": False,
        "550 No such user": False,
        "552 5.2.2 mailbox full": False,
    }.items(),
)
def test_only_addresses_that_do_not_exist_are_failures(reply: str, expected: bool) -> None:
    assert no_such_address(bounced(reply)) is expected


def bounced(reply: str, state: State = State.BOUNCED) -> Outcome:
    return Outcome(
        id="x",
        customer="acme",
        key="k",
        recipients=("v@far.test",),
        total=1,
        state=state,
        at=NOW,
        received_at=NOW,
        reply=reply,
        sender="anna@acme.test",
    )


# --- what is counted


def kinds(event: Event) -> dict[str, tuple[str, int]]:
    return {each.kind: (each.subject, each.count) for each in sightings(event)}


def test_a_message_that_is_handed_in_counts_once_for_client_sender_and_customer() -> None:
    assert kinds(sent()) == {
        Kind.SUBMIT_ADDRESS: ("192.0.2.7", 1),
        Kind.SUBMIT_SENDER: ("anna@acme.test", 1),
        Kind.SUBMIT_CUSTOMER: ("acme", 1),
    }
    assert kinds(sent(part=1)) == {}  # the rest of a message with recipients in several domains
    assert Kind.SUBMIT_SENDER not in kinds(sent(path=""))


def test_what_goes_out_counts_for_the_conduct_of_its_sender_and_of_another_account() -> None:
    (one,) = sightings(decided(sent(), strangers=1, status=Status.SPAM))
    assert (one.kind, one.subject, one.count, one.strangers, one.flagged) == (
        Kind.SENDER_CONDUCT,
        "anna@acme.test",
        2,
        1,
        2,
    )
    assert {each.kind for each in sightings(decided(sent(submitter="mta@acme.test")))} == {
        Kind.SENDER_CONDUCT,
        Kind.ACCOUNT_CONDUCT,
    }
    assert {each.kind for each in sightings(decided(sent(submitter="anna@acme.test")))} == {Kind.SENDER_CONDUCT}
    assert sightings(decided(sent(), released_by="olga")) == ()
    assert sightings(decided(sent(path=""))) == ()
    (failed,) = sightings(bounced("550 5.1.1 no"))
    assert (failed.kind, failed.subject, failed.count, failed.failed) == (Kind.SENDER_CONDUCT, "anna@acme.test", 0, 1)
    assert sightings(bounced("550 5.1.1 no", State.DELIVERED)) == ()


def test_a_limit_holds_until_its_window_has_room_again() -> None:
    limit = Limit(count=10, window_s=300.0, lapse_s=0.0)
    at = 1_200.0 + 30
    assert limit.until(at, [10, 0, 0, 0, 0]) == 1_200 + 300  # all of it in this minute
    assert limit.until(at, [1, 0, 0, 0, 9]) == 1_200 + 60
    assert limit.until(at, [5, 0, 4, 0, 1]) == 1_200 + 60
    assert limit.until(at, [6, 0, 4, 0, 0]) == 1_200 + 180
    assert Limit(count=10, window_s=300.0, lapse_s=120.0).until(at, [10]) == at + 120


def test_a_cell_of_an_earlier_release_is_read_on() -> None:
    old = [3, 2, 1, 0b01, 0b10, 0b11]
    (tally,) = sightings(decided(sent(), strangers=1))
    grown = _more(_sums(old), tally)
    assert grown == [5, 2, 1, 0b01, 0b11, 0b11, 1, 0]
    assert list(_sums(0)) == list(NOTHING)
    assert len(grown) == len(CELL)


# --- who is held


def test_a_hold_is_on_one_sender_of_one_customer_until_it_is_lifted() -> None:
    holds = SenderHolds()
    holds.apply(hold())
    assert holds.of(sent()) == hold()
    assert holds.of(sent(path="bert@acme.test")) is None
    assert holds.of(sent(path="bert@acme.test", submitter="anna@acme.test")) == hold()
    assert holds.of(sent(customer="zeta")) is None
    assert holds.of(msgspec.structs.replace(sent(), direction=Direction.INBOUND)) is None
    assert holds.all() == [hold()]
    holds.apply(hold(held=False, by="olga", spared_until=NOW + 60))
    assert holds.of(sent()) is None
    assert holds.spared("acme", "anna@acme.test", NOW)
    assert not holds.spared("acme", "anna@acme.test", NOW + 61)
    holds.remove(key_of(hold()))
    assert not holds.spared("acme", "anna@acme.test", NOW)


def test_mail_of_a_held_sender_is_held_and_what_a_rule_deletes_stays_deleted() -> None:
    passed = decided(sent())
    assert stopped(passed, None) is passed
    (branch,) = stopped(decided(sent()), hold()).branches
    assert (branch.action, branch.rule, branch.reason) == (Action.QUARANTINE, HELD, "the sender is held: much")
    away = Branch(recipients=("v@far.test",), action=Action.DELETE, rule="r", reason="")
    assert stopped(decided(sent(), branches=(away,)), hold()).branches == (away,)


def test_strangers_are_counted_and_remembered_once_clean_mail_goes_to_them() -> None:
    contacts = Contacts()
    assert met(decided(sent()), ACME, contacts, NOW)[0].strangers == 0  # nothing is known yet: nobody is a stranger
    contacts.caught_up()
    found, (_, *more) = met(decided(sent(recipients=("V@far.test", "v@far.test", "w@far.test"))), ACME, contacts, NOW)
    assert found.strangers == 2
    noted = [each for each in more if isinstance(each, Contact)]
    assert {each.digest for each in noted} == {digest(SALT, "v@far.test"), digest(SALT, "w@far.test")}
    for each in noted:
        contacts.apply(each)
    again, remembered = met(decided(sent(id="x")), ACME, contacts, NOW)
    assert (again.strangers, len(remembered)) == (0, 1)  # the message alone
    spam, remembered = met(decided(sent(recipients=("x@far.test",)), status=Status.SPAM), ACME, contacts, NOW)
    assert (spam.strangers, len(remembered)) == (1, 1)
    inbound = decided(received())
    assert met(inbound, ACME, contacts, NOW) == (inbound, ())


# --- who is told


def record(event: SenderHold) -> Record:
    return Record(topic=SENDER_HOLDS, partition=0, offset=0, key=key_of(event), event=event, timestamp=NOW)


async def test_the_administrator_gets_one_mail_for_a_hold() -> None:
    store = MemoryStore()
    notices = HoldNotices(store, lambda _: ACME, "mx.gatepost.test")
    (mail,) = await notices.handle(record(hold()))
    assert isinstance(mail, Received)
    assert (mail.envelope.recipients, mail.envelope.reverse_path, mail.own) == (
        ("postmaster@acme.test",),
        "",
        "account",
    )
    assert mail.subject == "Sending is held for anna@acme.test"
    assert await notices.handle(record(hold())) == [mail]  # the same one, however often it is asked for
    assert await notices.handle(record(hold(by="olga (command line)"))) == ()
    assert await notices.handle(record(hold(held=False))) == ()
    assert notice_id(hold(at=NOW + 1), "a@b.test") != notice_id(hold(), "a@b.test")
    gone = HoldNotices(store, lambda _: None, "mx.gatepost.test")
    assert await gone.handle(record(hold())) == ()


def test_a_customer_may_name_who_is_told() -> None:
    named = msgspec.structs.replace(ACME, outbound=Outbound(notify=("it@acme.test", "boss@home.test")))
    assert administrators(named.outbound, "anna@acme.test") == ("it@acme.test", "boss@home.test")


@pytest.mark.parametrize(("language", "subject"), [("en", "Sending is held for"), ("it", "Invio sospeso per")])
def test_the_mail_says_what_was_seen_and_what_to_do(language: str, subject: str) -> None:
    customer = msgspec.structs.replace(ACME, digest=DigestPlan(language=language))
    octets = compose(hold(), "postmaster@acme.test", customer.digest.language, "mx.gatepost.test", "id")
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert message["subject"] == f"{subject} anna@acme.test"
    assert message.defects == []
    text = message.get_content()
    assert "much" in text
    assert "gatepost submission lift anna@acme.test" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 78
