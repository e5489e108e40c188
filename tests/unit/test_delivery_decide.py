"""What replies mean, and what follows from an attempt."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.events import Action, Branch, Customer, Deferred, Disposition, Domain, Envelope, Host, State, Status
from services.delivery.decide import (
    DAY,
    REPLY_MOST,
    Kind,
    Pace,
    Reply,
    Result,
    Stage,
    classify,
    conclude,
    ended,
    expires_at,
    fresh,
    hosts_of,
    put_off,
    to_deliver,
)
from tests.samples import NOW, received

ALL = ("b@example.test", "c@example.test", "d@example.test")
PACE = Pace(60, 1800)


def disposition(**changes: Any) -> Disposition:
    envelope = Envelope(reverse_path="a@sender.test", recipients=ALL, client_ip="192.0.2.1")
    branches = (
        Branch(recipients=ALL[:1], action=Action.QUARANTINE, rule="q", reason=""),
        Branch(recipients=ALL, action=Action.DELIVER, rule="d", reason=""),
    )
    base: dict[str, Any] = {
        "received": received(envelope=envelope),
        "branches": branches,
        "status": Status.CLEAN,
        "score": 0.0,
        "decided_at": NOW,
    }
    return Disposition(**{**base, **changes})


def entry(**changes: Any) -> Deferred:
    base: dict[str, Any] = {
        "disposition": disposition(),
        "branch": 1,
        "recipients": ALL,
        "attempts": 0,
        "since": NOW,
        "next_at": NOW,
        "reply": "",
    }
    return Deferred(**{**base, **changes})


def result(code: int, text: str = "", stage: Stage = Stage.FINAL, *, ambiguous: bool = False) -> Result:
    return Result(Reply(code, text, stage, ambiguous), "mta.test:25", "TLSv1.3 X")


@pytest.mark.parametrize(
    ("code", "enhanced", "stage", "kind"),
    [
        (250, "2.0.0", Stage.FINAL, Kind.DELIVERED),
        (251, "", Stage.FINAL, Kind.DELIVERED),
        (250, "", Stage.DATA, Kind.TEMPORARY),  # 250 where 354 was due: nothing was sent
        (354, "", Stage.FINAL, Kind.TEMPORARY),
        (450, "4.2.1", Stage.RCPT, Kind.TEMPORARY),
        (450, "5.1.1", Stage.RCPT, Kind.TEMPORARY),  # in doubt, keep it
        (550, "5.1.1", Stage.RCPT, Kind.PERMANENT),
        (550, "", Stage.RCPT, Kind.PERMANENT),
        (550, "4.7.1", Stage.RCPT, Kind.TEMPORARY),
        (552, "", Stage.RCPT, Kind.TEMPORARY),
        (552, "5.5.3", Stage.RCPT, Kind.TEMPORARY),
        (552, "5.2.2", Stage.RCPT, Kind.PERMANENT),
        (552, "", Stage.FINAL, Kind.PERMANENT),
        (0, "", Stage.CONNECT, Kind.TEMPORARY),
        (-1, "", Stage.MAIL, Kind.TEMPORARY),
        (999, "", Stage.MAIL, Kind.TEMPORARY),
    ],
)
def test_classify(code: int, enhanced: str, stage: Stage, kind: Kind) -> None:
    assert classify(code, enhanced, stage) is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("4.7.1 wait", Kind.TEMPORARY),
        ("4.7.1", Kind.TEMPORARY),
        ("4.7.1.2", Kind.PERMANENT),
        ("no 4.7.1", Kind.PERMANENT),
    ],
)
def test_the_enhanced_code_is_what_the_text_begins_with(text: str, kind: Kind) -> None:
    assert Reply(550, text, Stage.RCPT).kind is kind


def test_a_reply_is_one_bounded_printable_line() -> None:
    line = Reply(550, "5.1.1 no\n  such\x1b[31m user\udc80" + "x" * 1000, Stage.RCPT).line
    assert line.startswith("550 5.1.1 no such [31m user x")
    assert len(line) == REPLY_MOST


def test_only_delivers_branches_are_ours() -> None:
    assert to_deliver(disposition()) == [1]


def test_each_recipient_gets_what_it_was_told() -> None:
    results = {
        ALL[0]: result(250, "2.0.0 taken"),
        ALL[1]: result(450, "4.2.1 busy", Stage.RCPT),
        ALL[2]: result(550, "5.1.1 unknown", Stage.RCPT),
    }
    done = conclude(entry(), results, now=NOW + 1, chance=0.5, expires=NOW + DAY, pace=PACE)
    assert [(o.state, o.recipients, o.reply) for o in done.outcomes] == [
        (State.DELIVERED, ALL[:1], "250 2.0.0 taken"),
        (State.BOUNCED, ALL[2:], "550 5.1.1 unknown"),
    ]
    assert {o.total for o in done.outcomes} == {3}
    assert {(o.host, o.tls, o.attempts) for o in done.outcomes} == {("mta.test:25", "TLSv1.3 X", 1)}
    assert done.waiting is not None
    assert done.waiting.recipients == ALL[1:2]
    assert (done.waiting.attempts, done.waiting.next_at, done.waiting.reply) == (1, NOW + 61, "450 4.2.1 busy")


def test_equal_ends_are_one_outcome() -> None:
    done = conclude(entry(), dict.fromkeys(ALL, result(250)), now=NOW, chance=0.5, expires=NOW + DAY, pace=PACE)
    assert [o.recipients for o in done.outcomes] == [ALL]
    assert done.waiting is None


def test_waiting_grows_and_never_passes_the_end() -> None:
    told = dict.fromkeys(ALL, result(450))
    for attempts, wait in [(0, 60), (1, 120), (4, 960), (20, 1800)]:
        done = conclude(entry(attempts=attempts), told, now=NOW, chance=0.5, expires=NOW + DAY, pace=PACE)
        assert done.waiting is not None
        assert done.waiting.next_at == NOW + wait
    done = conclude(entry(attempts=20), told, now=NOW, chance=0.5, expires=NOW + 7, pace=PACE)
    assert done.waiting is not None
    assert done.waiting.next_at == NOW + 7


def test_what_waited_for_too_long_expires_with_the_last_reply() -> None:
    told = dict.fromkeys(ALL, result(450, "4.2.1 busy"))
    done = conclude(entry(attempts=9), told, now=NOW + DAY, chance=0.5, expires=NOW + DAY, pace=PACE)
    assert [(o.state, o.reply, o.attempts) for o in done.outcomes] == [(State.EXPIRED, "450 4.2.1 busy", 10)]
    assert done.waiting is None
    late = ended(entry(reply="connection refused", attempts=9), NOW + DAY)
    assert [(o.state, o.reply, o.attempts) for o in late.outcomes] == [(State.EXPIRED, "connection refused", 9)]


def test_a_lost_answer_marks_what_comes_of_it() -> None:
    lost = conclude(
        entry(),
        dict.fromkeys(ALL, result(0, "lost", ambiguous=True)),
        now=NOW,
        chance=0.5,
        expires=NOW + DAY,
        pace=PACE,
    ).waiting
    assert lost is not None
    assert lost.possible_duplicate
    done = conclude(lost, dict.fromkeys(ALL, result(250)), now=NOW, chance=0.5, expires=NOW + DAY, pace=PACE)
    assert [o.possible_duplicate for o in done.outcomes] == [True]
    assert ended(lost, NOW).outcomes[0].possible_duplicate


def test_putting_off_is_no_attempt() -> None:
    waiting = put_off(entry(attempts=3), "down", NOW + 5).waiting
    assert waiting is not None
    assert (waiting.attempts, waiting.next_at, waiting.reply, waiting.recipients) == (3, NOW + 5, "down", ALL)


def test_time_counts_from_the_decision() -> None:
    state = fresh(disposition(decided_at=NOW + 20 * DAY), 1, ALL)
    assert expires_at(state, Customer(id="example", queue_days=2)) == NOW + 22 * DAY
    assert expires_at(state, None) == NOW + 30 * DAY


def test_hosts_come_by_preference_and_a_redirect_by_its_own_domain() -> None:
    one, two, three = Host(host="1"), Host(host="2", preference=5), Host(host="3")
    customer = Customer(
        id="example", domains=(Domain(name="example.test", relay=(one, two)), Domain(name="other.test", relay=(three,)))
    )
    assert hosts_of(customer, "example.test") == (two, one)
    assert hosts_of(customer, "example.test", "x@OTHER.test") == (three,)
    assert hosts_of(customer, "example.test", "x@elsewhere.test") == (two, one)
    assert hosts_of(customer, "gone.test") == ()
    assert hosts_of(None, "example.test") == ()
