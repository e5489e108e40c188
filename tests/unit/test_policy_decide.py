"""Policy's decisions, as values."""

from __future__ import annotations

import pytest

from schemas.events import (
    Action,
    Customer,
    Disposition,
    Envelope,
    Evidence,
    Group,
    Match,
    Outcome,
    Pending,
    Rule,
    State,
    Status,
    Trial,
    Verdict,
)
from services.policy.decide import DAY, RESCAN_MOST, Hold, branches, decide, deleted, merge, rescan_delay
from tests.samples import NOW, received, verdict

CUSTOMER = Customer(id="example")


def pending(*verdicts: Verdict, **changes: object) -> Pending:
    message = received(**changes)
    heard = tuple(verdict(message, v.scanner, v.status, score=v.score, evidence=v.evidence) for v in verdicts)
    return Pending(id=message.id, received=message, origin=0, verdicts=heard)


def of(scanner: str, status: Status = Status.CLEAN, score: float = 0.0) -> Verdict:
    return verdict(received(), scanner, status, score=score)


def test_no_verdict_no_delivery() -> None:
    assert decide(pending(), CUSTOMER, NOW) == Hold()
    assert decide(pending(of("auth")), CUSTOMER, NOW) == Hold()
    assert decide(Pending(id="x", verdicts=(of("auth"), of("virus"))), CUSTOMER, NOW) == Hold()


def test_clean_is_delivered_by_the_last_rule() -> None:
    answer = decide(pending(of("auth"), of("virus")), CUSTOMER, NOW)
    assert isinstance(answer, Disposition)
    (branch,) = answer.branches
    assert (branch.action, branch.rule, branch.recipients) == (Action.DELIVER, "default", ("bob@example.test",))
    assert answer.scanners == ("auth/1=clean", "virus/1=clean")


def test_what_the_door_saw_counts_like_a_scanners_answer() -> None:
    front = (Evidence(code="FRONT_LISTED", text="192.0.2.7 is on zen.example", score=3.0),)
    rules = (Rule(name="listed", when=Match(scanner="front", min_score=2.5), action=Action.QUARANTINE),)
    answer = decide(pending(of("auth"), of("virus"), front=front), Customer(id="example", rules=rules), NOW)
    assert isinstance(answer, Disposition)
    assert (answer.branches[0].rule, answer.branches[0].action) == ("listed", Action.QUARANTINE)
    assert (answer.score, answer.evidence) == (3.0, front)
    total = (Rule(name="sum", when=Match(min_score=4.0), action=Action.QUARANTINE),)
    both = decide(pending(of("auth"), of("virus", score=1.0), front=front), Customer(id="example", rules=total), NOW)
    assert isinstance(both, Disposition)
    assert both.branches[0].rule == "sum"
    assert decide(pending(front=front), CUSTOMER, NOW) == Hold()


@pytest.mark.parametrize("status", [Status.VIRUS, Status.SPAM, Status.PHISHING])
def test_what_is_bad_is_held_and_says_why(status: Status) -> None:
    answer = decide(pending(of("auth"), of("virus", status)), CUSTOMER, NOW)
    assert isinstance(answer, Disposition)
    (branch,) = answer.branches
    assert branch.action is Action.QUARANTINE
    assert branch.reason == f"virus says {status.value} (virus found it)"
    assert answer.status is status


def test_unavailable_is_never_clean() -> None:
    answer = decide(pending(of("auth"), of("virus", Status.UNAVAILABLE)), CUSTOMER, NOW)
    assert answer == Hold(ask=("virus",))


def test_unscanned_mail_passes_only_when_the_customer_says_so_and_is_marked() -> None:
    lenient = Customer(id="example", hold_unscanned=False, unscanned=Action.DELIVER)
    answer = decide(pending(of("auth"), of("virus", Status.UNAVAILABLE)), lenient, NOW)
    assert isinstance(answer, Disposition)
    (branch,) = answer.branches
    assert (branch.action, branch.add_headers) == (Action.DELIVER, (("X-Gatepost-Unscanned", "virus"),))


def test_what_other_scanners_found_counts_although_one_is_unavailable() -> None:
    lenient = Customer(id="example", hold_unscanned=False, unscanned=Action.DELIVER)
    answer = decide(pending(of("auth", Status.SPAM), of("virus", Status.UNAVAILABLE)), lenient, NOW)
    assert isinstance(answer, Disposition)
    assert [branch.action for branch in answer.branches] == [Action.QUARANTINE]


def test_a_scanner_that_stays_away_ends_in_quarantine_and_not_in_the_inbox() -> None:
    waiting = pending(of("auth"), of("virus", Status.UNAVAILABLE))
    assert isinstance(decide(waiting, CUSTOMER, NOW + 10 * DAY - 1), Hold)
    answer = decide(waiting, CUSTOMER, NOW + 10 * DAY)
    assert isinstance(answer, Disposition)
    assert [branch.action for branch in answer.branches] == [Action.QUARANTINE]


def test_an_object_that_is_gone_means_the_sender_was_told_to_come_again() -> None:
    answer = decide(pending(of("auth", Status.GONE)), CUSTOMER, NOW)
    assert isinstance(answer, Outcome)
    assert (answer.state, answer.recipients) == (State.WITHDRAWN, ("bob@example.test",))
    assert decide(pending(of("auth", Status.GONE), recovered=True), CUSTOMER, NOW) is None


def test_the_first_answer_counts_but_unavailable_gives_way() -> None:
    message = pending(of("auth", Status.SPAM))
    later = verdict(received(id=message.id), "auth", Status.CLEAN)
    assert merge(message, later) == message
    away = pending(of("auth", Status.UNAVAILABLE))
    assert merge(away, later).verdicts == (later,)


def test_rules_are_walked_per_recipient_and_grouped() -> None:
    rules = (
        Rule(name="tag", when=Match(min_score=5.0), tag_subject="[SPAM] "),
        Rule(name="abuse", when=Match(recipients=("abuse@example.test",)), action=Action.DELIVER),
        Rule(name="drop", when=Match(status=(Status.SPAM,)), action=Action.DELETE),
        Rule(name="copy", when=Match(recipients=("@example.test",)), redirect_to="all@example.test"),
    )
    to = ("a@example.test", "ABUSE@example.test", "b@example.test", "a@example.test")
    message = received(envelope=Envelope(reverse_path="x@y.test", recipients=to, client_ip="192.0.2.1"))
    spam = {"content": verdict(message, "content", Status.SPAM, score=9.0)}
    chosen = branches(message, spam, Customer(id="example", rules=rules))
    assert [(b.recipients, b.action, b.rule, b.tag_subject) for b in chosen] == [
        (("a@example.test", "b@example.test"), Action.DELETE, "drop", "[SPAM] "),
        (("ABUSE@example.test",), Action.DELIVER, "abuse", "[SPAM] "),
    ]
    clean = branches(message, {"content": verdict(message, "content")}, Customer(id="example", rules=rules))
    assert {b.redirect_to for b in clean if "a@example.test" in b.recipients} == {"all@example.test"}


def test_a_group_is_who_belongs_to_it() -> None:
    rules = (Rule(name="staff", when=Match(recipients=("x@c.test", "group:staff")), action=Action.QUARANTINE),)
    groups = (Group(name="staff", members=("Ann@A.test", "@b.test")), Group(name="other", members=("@d.test",)))
    to = ("ann@a.test", "ben@a.test", "c@B.test", "x@c.test", "y@d.test")
    message = received(envelope=Envelope(reverse_path="x@y.test", recipients=to, client_ip="192.0.2.1"))
    chosen = branches(message, {}, Customer(id="example", rules=rules, groups=groups))
    assert {branch.rule: branch.recipients for branch in chosen} == {
        "staff": ("ann@a.test", "c@B.test", "x@c.test"),
        "default": ("ben@a.test", "y@d.test"),
    }
    nobody = branches(message, {}, Customer(id="example", rules=rules))
    assert next(branch for branch in nobody if branch.rule == "staff").recipients == ("x@c.test",)


def test_a_condition_can_be_narrowed_to_one_scanner() -> None:
    rules = (Rule(name="urls", when=Match(scanner="urls", min_score=3.0), action=Action.QUARANTINE),)
    message = received()
    heard = {"content": verdict(message, "content", score=9.0), "urls": verdict(message, "urls", score=1.0)}
    assert branches(message, heard, Customer(id="example", rules=rules))[0].rule == "default"


def test_what_is_copied_and_told_adds_up_and_rules_that_are_off_are_passed_over() -> None:
    rules = (
        Rule(name="off", action=Action.DELETE, off=True),
        Rule(name="journal", bcc=("j@a.test", "k@a.test"), notify=("desk@a.test",)),
        Rule(name="again", bcc=("j@a.test",), stamp="One."),
        Rule(name="once more", stamp="Two."),
        Rule(name="hold", when=Match(min_score=5.0), action=Action.QUARANTINE, notify=("boss@a.test",)),
    )
    message = received()
    (calm,) = branches(message, {}, Customer(id="example", rules=rules))
    assert (calm.action, calm.bcc, calm.notify) == (Action.DELIVER, ("j@a.test", "k@a.test"), ("desk@a.test",))
    assert calm.stamp == "One. Two."
    odd = {"content": verdict(message, "content", score=9.0)}
    (held,) = branches(message, odd, Customer(id="example", rules=rules))
    assert (held.action, held.rule, held.notify) == (Action.QUARANTINE, "hold", ("desk@a.test", "boss@a.test"))
    absent = pending(of("auth", Status.UNAVAILABLE), of("virus"))
    open_to = Customer(id="example", rules=rules, hold_unscanned=False, unscanned=Action.DELIVER)
    unscanned = decide(absent, open_to, NOW)
    assert isinstance(unscanned, Disposition)
    assert unscanned.branches[0].bcc == ("j@a.test", "k@a.test")
    every = (Rule(name="off", action=Action.DELETE, off=True),)
    assert branches(message, odd, Customer(id="example", rules=every))[0].rule == "default"  # not those of nobody


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        (Match(), "every message"),
        (Match(min_size=100), "size 100"),
        (Match(max_size=100), "size 100"),
        (Match(senders=("@sender.test",), recipients=("@example.test",)), "from alice@sender.test, by recipient"),
        (Match(min_size=101), None),
        (Match(max_size=99), None),
        (Match(auth=("dmarc=none", "spf=pass")), "spf=pass"),
        (Match(auth=("dmarc=pass", "spf=fail")), None),
        (Match(attachments=("exe", ".js")), "attachment .js"),
        (Match(attachments=(".exe", "js")), None),
        (Match(attachments=("zip",), auth=("dmarc=fail",), min_size=1), "dmarc=fail, attachment zip"),
        (Match(attachments=("zip",), senders=("@else.test",)), None),
    ],
)
def test_conditions_on_size_authentication_and_attachments(when: Match, reason: str | None) -> None:
    message = received()
    results = (("spf", "pass smtp.mailfrom=a@sender.test"), ("dmarc", "fail (p=none) header.from=sender.test"))
    heard = {
        "auth": verdict(message, "auth", results=results),
        "attachments": verdict(message, "attachments", files=(".zip", "zip", ".js", "javascript")),
    }
    rules = (Rule(name="it", when=when, action=Action.QUARANTINE),)
    (branch,) = branches(message, heard, Customer(id="example", rules=rules))
    assert (branch.rule, branch.reason.replace("; ", ", ")) == (
        ("default", "no rule objects") if reason is None else ("it", reason)
    )


def test_deleting_is_an_outcome_of_its_own() -> None:
    rules = (Rule(name="drop", action=Action.DELETE),)
    answer = decide(pending(of("auth"), of("virus")), Customer(id="example", rules=rules), NOW)
    assert isinstance(answer, Disposition)
    ended = deleted(answer, NOW)
    assert ended is not None
    assert (ended.state, ended.recipients, ended.total) == (State.DELETED, ("bob@example.test",), 1)


def test_questions_to_an_absent_scanner_grow_apart() -> None:
    assert rescan_delay(0, 0.5) < rescan_delay(3, 0.5) < rescan_delay(40, 0.5) == RESCAN_MOST


TRIAL = Customer(id="example", trial=Trial(recipients=("bob@example.test", "@try.example.test")))
EVE, BOB, TRY = "eve@example.test", "Bob@Example.test", "x@try.example.test"


def sent_to(*recipients: str, verdicts: tuple[Verdict, ...] = ()) -> Disposition | Hold:
    envelope = Envelope(reverse_path="a@a.test", recipients=recipients, client_ip="192.0.2.1")
    answer = decide(pending(*verdicts, envelope=envelope), TRIAL, NOW)
    assert isinstance(answer, Disposition | Hold)
    return answer


def test_who_is_not_part_of_a_trial_has_his_mail_untouched_and_at_once() -> None:
    answer = sent_to(EVE, "eve@other.test")
    assert isinstance(answer, Disposition), "waits for scanners"
    (branch,) = answer.branches
    assert (branch.action, branch.rule, branch.recipients) == (Action.DELIVER, "trial", (EVE, "eve@other.test"))
    assert not branch.add_headers
    assert sent_to(EVE, BOB) == Hold()  # one message for both is decided once


def test_in_a_trial_rules_apply_to_those_who_try() -> None:
    answer = sent_to(EVE, BOB, TRY, verdicts=(of("auth"), of("virus", Status.VIRUS)))
    assert isinstance(answer, Disposition)
    assert [(branch.action, branch.recipients) for branch in answer.branches] == [
        (Action.DELIVER, (EVE,)),
        (Action.QUARANTINE, (BOB, TRY)),
    ]
    dead = sent_to(EVE, BOB, verdicts=(of("auth"), of("virus", Status.UNAVAILABLE)))
    assert isinstance(dead, Hold)
    late = decide(
        pending(
            of("auth"),
            of("virus", Status.UNAVAILABLE),
            envelope=Envelope(reverse_path="a@a.test", recipients=(EVE, BOB), client_ip="192.0.2.1"),
        ),
        TRIAL,
        NOW + TRIAL.queue_days * DAY,
    )
    assert isinstance(late, Disposition)
    assert [(branch.action, branch.recipients) for branch in late.branches] == [
        (Action.DELIVER, (EVE,)),
        (Action.QUARANTINE, (BOB,)),
    ]
