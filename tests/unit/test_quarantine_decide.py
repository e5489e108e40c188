"""What is held, and which events follow when a hold ends."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import SUBJECT_LIMIT, Action, Branch, Disposition, Envelope, Outcome, Status
from schemas.events import State as Ending
from services.core.heading import printable, subject_of
from services.quarantine.decide import Ended, Held, Shown, events, holds
from services.quarantine.tables import State
from tests.samples import NOW, received

RECIPIENTS = ("a@example.test", "b@example.test", "c@example.test", "d@example.test")


def branch(action: Action, *recipients: str, rule: str = "virus", tag: str = "") -> Branch:
    return Branch(recipients=recipients, action=action, rule=rule, reason="it is one", tag_subject=tag)


def disposition(*branches: Branch) -> Disposition:
    envelope = Envelope(reverse_path="x@sender.test", recipients=RECIPIENTS, client_ip="192.0.2.1")
    return Disposition(
        received=received(envelope=envelope), branches=branches, status=Status.VIRUS, score=9, decided_at=NOW
    )


def ended(rows: list[Held], state: State, command: str = "C", by: str = "olga") -> list[Held]:
    return [dataclasses.replace(row, state=state, command=command, ended_by=by, ended_at=NOW + 5) for row in rows]


def test_only_quarantine_branches_hold_and_each_recipient_once() -> None:
    decided = disposition(
        branch(Action.DELIVER, "a@example.test"),
        branch(Action.QUARANTINE, "b@example.test", "b@example.test", "c@example.test"),
        branch(Action.DELETE, "d@example.test"),
    )
    rows = holds(decided, Shown("Subject"), NOW, 7)
    assert [(row.recipient, row.state, row.total) for row in rows] == [
        ("b@example.test", State.HELD, 4),
        ("c@example.test", State.HELD, 4),
    ]
    assert {row.expires_at for row in rows} == {NOW + 7 * 86_400}


def test_nothing_is_held_for_longer_than_thirty_days() -> None:
    (row,) = holds(disposition(branch(Action.QUARANTINE, "a@example.test")), Shown(""), NOW, 365)
    assert row.expires_at == NOW + 30 * 86_400


def test_a_release_delivers_to_those_it_names_as_policy_had_marked_it() -> None:
    decided = disposition(
        branch(Action.QUARANTINE, "a@example.test", "b@example.test", rule="virus", tag="[VIRUS] "),
        branch(Action.QUARANTINE, "c@example.test", rule="spam"),
    )
    rows = holds(decided, Shown(""), NOW, 30)
    (release,) = events(Ended(ended(rows[1:], State.RELEASED), {decided.received.id: decided}))
    assert isinstance(release, Disposition)
    assert (release.release, release.released_by, release.decided_at) == ("C", "olga", NOW + 5)
    assert release.received == decided.received
    assert sorted(release.branches, key=lambda found: found.rule) == [
        Branch(recipients=("c@example.test",), action=Action.DELIVER, rule="spam", reason="released by olga"),
        Branch(
            recipients=("b@example.test",),
            action=Action.DELIVER,
            rule="virus",
            reason="released by olga",
            tag_subject="[VIRUS] ",
        ),
    ]


def test_the_same_rows_in_any_order_make_the_same_events() -> None:
    decided = disposition(
        branch(Action.QUARANTINE, "a@example.test", "b@example.test"),
        branch(Action.QUARANTINE, "c@example.test", rule="spam"),
    )
    rows = ended(holds(decided, Shown(""), NOW, 30), State.RELEASED)
    dispositions = {decided.received.id: decided}
    assert events(Ended(rows, dispositions)) == events(Ended(rows[::-1], dispositions))


@pytest.mark.parametrize(
    ("state", "ending"),
    [
        (State.DELETED, Ending.QUARANTINE_DELETED),
        (State.EXPIRING, Ending.QUARANTINE_EXPIRED),
        (State.EXPIRED, Ending.QUARANTINE_EXPIRED),
    ],
)
def test_another_ending_is_one_outcome_a_message(state: State, ending: Ending) -> None:
    first = disposition(branch(Action.QUARANTINE, "a@example.test", "b@example.test"))
    second = disposition(branch(Action.QUARANTINE, "c@example.test"))
    rows = ended([*holds(first, Shown(""), NOW, 1), *holds(second, Shown(""), NOW, 1)], state)
    found = {event.id: event for event in events(Ended(rows, {})) if isinstance(event, Outcome)}
    assert found.keys() == {first.received.id, second.received.id}
    assert found[first.received.id] == Outcome(
        id=first.received.id,
        customer="example",
        key=first.received.key,
        recipients=("a@example.test", "b@example.test"),
        total=4,
        state=ending,
        at=NOW + 5,
        received_at=NOW,
    )


@pytest.mark.parametrize(
    ("message", "subject"),
    [
        (b"Subject: Hello\r\n\r\nSubject: body", "Hello"),
        (b"From: a@b\r\nsUbJeCt:  two\r\n\twords \r\n\r\n", "two words"),
        (b"Subject: first\r\nSubject: second\r\n\r\n", "first"),
        (b"Subject: =?utf-8?q?J=C3=B6rg?= =?iso-8859-1?b?/A==?= end\r\n\r\n", "Jörgü end"),
        ("Subject: grüße\r\n\r\n".encode(), "grüße"),
        (b"Subject: gr\xfc\xdfe\r\n\r\n", "gr\ufffd\ufffde"),
        (b"Subject: =?nowhere?b?SGk=?=\r\n\r\n", "Hi"),
        (b"Subject: =?utf-8?b?S?=\r\n\r\n", "=?utf-8?b?S?="),
        (b"Subject: a\x00b\x1b[31mc\xe2\x80\xaed\r\n\r\n", "ab[31mcd"),
        (b"Subject: " + b"x" * 5_000 + b"\r\n\r\n", "x" * SUBJECT_LIMIT),
        (b"From: a@b\r\n\r\nSubject: body", ""),
        (b"\r\nSubject: body", ""),
        (b"Subject: no end", "no end"),
        (b"", ""),
        (b"X: " + b"y" * 70_000 + b"\r\nSubject: too late\r\n\r\n", ""),
    ],
)
def test_the_subject(message: bytes, subject: str) -> None:
    assert subject_of(message) == subject


@settings(deadline=None)
@given(st.binary(max_size=300).map(lambda raw: b"Subject: " + raw + b"\r\n\r\n"))
def test_any_subject_is_one_printable_line(message: bytes) -> None:
    subject = subject_of(memoryview(message))
    assert len(subject) <= SUBJECT_LIMIT
    assert subject.isprintable()
    subject.encode()


@settings(deadline=None)
@given(st.text(alphabet="=?utf-8bqQB_ \r\nSGk\xe9", max_size=200))
def test_any_encoded_words_are_one_printable_line(text: str) -> None:
    assert subject_of(b"Subject: " + text.encode() + b"\r\n\r\n").isprintable()


def test_printable_cuts_after_cleaning() -> None:
    assert printable("a\r\n b\x00\u202ec", 3) == "a b"
