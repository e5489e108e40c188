"""Which entry of the sender lists counts, and what it changes."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest

from schemas.events import (
    Action,
    Customer,
    Disposition,
    Domain,
    Evidence,
    Host,
    Match,
    Pending,
    Rule,
    SenderEntry,
    Status,
    Verdict,
)
from services.core.errors import BadAddress
from services.core.senders import ALL, Senders, authenticated, names_of, normal_sender
from services.policy.decide import decide
from services.quarantine.ask import sender_entry
from tests.samples import NOW, received, verdict

BOB = "bob@example.test"
CUSTOMER = Customer(
    id="example",
    salt="0123",
    domains=(Domain(name="example.test", relay=(Host(host="127.0.0.1"),), any_recipient=True),),
)
SPF = (("spf", "pass smtp.mailfrom=sender.test"),)


def entry(whom: str, sender: str, *, approved: bool) -> SenderEntry:
    return sender_entry(CUSTOMER, whom, sender, approved=approved, by="olga", now=NOW)


def view(*entries: SenderEntry) -> Senders:
    made = Senders()
    for each in entries:
        made.apply(each)
    return made


def test_the_narrowest_word_counts() -> None:
    ladder = [
        entry("all", "@sender.test", approved=True),
        entry("all", "alice@sender.test", approved=False),
        entry("@example.test", "@sender.test", approved=True),
        entry("@example.test", "alice@sender.test", approved=False),
        entry(BOB, "@sender.test", approved=True),
        entry(BOB, "alice@sender.test", approved=False),
    ]
    for count in range(1, len(ladder) + 1):
        found = view(*ladder[:count]).find(CUSTOMER, BOB, names_of("Alice@Sender.test"))
        assert found is not None
        assert found.entry == ladder[count - 1]
    other = view(*ladder).find(CUSTOMER, "carla@example.test", names_of("alice@sender.test"))
    assert other is not None
    assert other.entry == ladder[3]


def test_no_address_of_a_recipient_is_in_an_entry() -> None:
    made = entry("Bob@example.test", "alice@sender.test", approved=True)
    assert "bob" not in made.whom.lower()
    assert made == entry(BOB, "Alice@SENDER.test", approved=True)


def test_an_entry_that_goes_counts_no_more() -> None:
    senders = view(entry("all", "@sender.test", approved=True))
    senders.remove(f"example/{ALL}/@sender.test")
    senders.remove("example/*/@nobody.test")
    assert senders.find(CUSTOMER, BOB, names_of("alice@sender.test")) is None
    assert list(senders.of("example")) == []


@pytest.mark.parametrize(
    ("whom", "sender"),
    [("all", "nonsense"), ("@elsewhere.test", "a@b.test"), ("bob@elsewhere.test", "a@b.test"), ("all", "@")],
)
def test_an_entry_that_could_never_apply_is_refused(whom: str, sender: str) -> None:
    with pytest.raises(BadAddress):
        entry(whom, sender, approved=True)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ((("spf", "pass smtp.mailfrom=sender.test"),), True),
        ((("spf", "pass smtp.mailfrom=other.test"),), False),
        ((("spf", "pass smtp.helo=sender.test"),), False),
        ((("spf", "softfail smtp.mailfrom=sender.test"),), False),
        ((("dkim", "pass header.d=sender.test header.s=a"),), True),
        ((("dkim", "pass header.d=test"),), True),
        ((("dkim", "pass header.d=nder.test"),), False),
        ((("dkim", 'fail reason="pass" header.d=sender.test'),), False),
        ((("dmarc", "pass header.from=sender.test policy.dmarc=reject"),), True),
        ((("dmarc", "pass header.from=evil.test"),), False),
        ((), False),
    ],
)
def test_authenticated(results: tuple[tuple[str, str], ...], *, expected: bool) -> None:
    assert authenticated("alice@sender.test", results) is expected
    assert not authenticated("", results)


def decided(customer: Customer, listed: SenderEntry, *verdicts: Verdict) -> Disposition:
    event = received(plan=())
    lists = partial(view(listed).find, customer, senders=names_of(event.envelope.reverse_path))
    pending = Pending(id=event.id, received=event, verdicts=verdicts)
    made = decide(pending, customer, NOW, lists)
    assert isinstance(made, Disposition)
    return made


def outcome(made: Disposition) -> tuple[Action, str]:
    (branch,) = made.branches
    return branch.action, branch.rule


def says(status: Status, score: float = 0.0, results: tuple[tuple[str, str], ...] = SPF) -> Verdict:
    return verdict(received(), "content", status, score=score, results=results)


def test_an_approved_sender_is_no_spammer_and_its_reason_says_so() -> None:
    listed = entry("all", "@sender.test", approved=True)
    made = decided(CUSTOMER, listed, says(Status.SPAM, 30.0))
    assert outcome(made) == (Action.DELIVER, "approved-sender")
    assert made.branches[0].reason == "@sender.test is approved for all recipients"
    assert made.branches[0].add_headers == ()


@pytest.mark.parametrize("status", [Status.VIRUS, Status.PHISHING])
def test_an_approved_sender_never_overrides_what_is_dangerous(status: Status) -> None:
    made = decided(CUSTOMER, entry(BOB, "alice@sender.test", approved=True), says(status))
    assert outcome(made) == (Action.QUARANTINE, status.value)


def test_an_approved_sender_counts_only_when_it_is_the_sender() -> None:
    listed, forged = entry("all", "@sender.test", approved=True), says(Status.SPAM, 30.0, ())
    assert outcome(decided(CUSTOMER, listed, forged)) == (Action.QUARANTINE, "spam")
    trusting = msgspec.structs.replace(CUSTOMER, approve_unauthenticated=True)
    assert outcome(decided(trusting, listed, forged)) == (Action.DELIVER, "approved-sender")


def test_other_rules_of_the_customer_stand() -> None:
    rule = Rule(name="no-programs", when=Match(evidence=("EXE",)), action=Action.DELETE)
    strict = msgspec.structs.replace(CUSTOMER, rules=(rule,))
    found = msgspec.structs.replace(says(Status.SPAM, 30.0), evidence=(Evidence(code="EXE", text="a program"),))
    made = decided(strict, entry("all", "@sender.test", approved=True), found)
    assert outcome(made) == (Action.DELETE, "no-programs")


def test_a_blocked_sender_is_held_and_what_is_worse_keeps_its_reason() -> None:
    listed = entry(BOB, "alice@sender.test", approved=False)
    made = decided(CUSTOMER, listed, says(Status.CLEAN))
    assert outcome(made) == (Action.QUARANTINE, "blocked-sender")
    assert made.branches[0].reason == "alice@sender.test is blocked for this recipient"
    assert outcome(decided(CUSTOMER, listed, says(Status.SPAM))) == (Action.QUARANTINE, "spam")


def test_our_own_mail_is_stopped_by_nothing() -> None:
    event = received(plan=("virus",), own="digest")
    pending = Pending(id=event.id, received=event)
    blocked = Rule(name="all", action=Action.DELETE)
    made = decide(pending, msgspec.structs.replace(CUSTOMER, rules=(blocked,)), NOW)
    assert isinstance(made, Disposition)
    assert outcome(made) == (Action.DELIVER, "own-mail")


def test_normal_sender() -> None:
    assert normal_sender("@EXAMPLE.test") == "@example.test"
    assert normal_sender("Bob@Example.TEST") == BOB
