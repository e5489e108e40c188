"""Which messages the ledger of signals suspects: those whose last place was left behind."""

from __future__ import annotations

import pytest

from schemas.catalog import DISPOSITIONS, RECEIVED
from schemas.events import Action, Branch, Deferred, Disposition, Envelope, Event, Outcome, Pending, State, Status
from services.signals.balance import GRACE, Open, apply, opened, suspects
from tests.samples import NOW, received

A, B = "a@example.test", "b@example.test"
MESSAGE = received(envelope=Envelope(reverse_path="x@s.test", recipients=(A, B), client_ip="192.0.2.1"))
READ = {
    "policy": {(RECEIVED.name, 0): 100},
    "delivery": {(DISPOSITIONS.name, 0): 100},
}
LATER = NOW + GRACE + 1


def decided(*actions: Action) -> Disposition:
    branches = tuple(
        Branch(recipients=(recipient,), action=action, rule="r", reason="x")
        for recipient, action in zip((A, B), actions, strict=True)
    )
    return Disposition(received=MESSAGE, branches=branches, status=Status.CLEAN, score=0.0, decided_at=NOW)


def ended(*recipients: str) -> Outcome:
    return Outcome(
        id=MESSAGE.id,
        customer="example",
        key="k",
        recipients=recipients,
        total=2,
        state=State.DELIVERED,
        at=NOW,
        received_at=NOW,
    )


def deferred(*recipients: str) -> Deferred:
    disposition = decided(Action.DELIVER, Action.DELIVER)
    return Deferred(
        disposition=disposition, branch=0, recipients=recipients, attempts=1, since=NOW, next_at=NOW, reply=""
    )


def entry_of(*events: Event | None, offset: int = 5) -> Open:
    entry = Open()
    for event in events:
        apply(entry, event, offset, NOW)
    return entry


def suspected(entry: Open, now: float = LATER, read: dict[str, dict[tuple[str, int], int]] | None = None) -> bool:
    return suspects([(MESSAGE.id, entry)], READ if read is None else read, 0, now) == [MESSAGE.id]


DELIVER = decided(Action.DELIVER, Action.DELIVER)
LOST: dict[str, tuple[Event | None, ...]] = {
    "policy read it and left nothing": (MESSAGE,),
    "it left policy's table and nothing came": (MESSAGE, Pending(id=MESSAGE.id), None),
    "delivery read it and left nothing": (MESSAGE, DELIVER),
    "for one of two": (MESSAGE, DELIVER, ended(A)),
    "it left delivery's table and nothing came": (MESSAGE, DELIVER, deferred(A, B), None),
    "deleted without an outcome": (MESSAGE, decided(Action.DELETE, Action.DELETE)),
    "an outcome of what was never accepted": (ended(A, B),),
    "one held, the other left behind": (MESSAGE, decided(Action.QUARANTINE, Action.DELIVER)),
}
FINE: dict[str, tuple[Event | None, ...]] = {
    "waits for verdicts": (MESSAGE, Pending(id=MESSAGE.id)),
    "waits for the MTA": (MESSAGE, DELIVER, deferred(A, B)),
    "held": (MESSAGE, decided(Action.QUARANTINE, Action.QUARANTINE)),
    "one ended, one held": (MESSAGE, decided(Action.DELIVER, Action.QUARANTINE), ended(A)),
}


@pytest.mark.parametrize("events", LOST.values(), ids=LOST.keys())
def test_what_was_left_behind_is_suspect(events: tuple[Event | None, ...]) -> None:
    assert suspected(entry_of(*events))


@pytest.mark.parametrize("events", LOST.values(), ids=LOST.keys())
def test_nothing_is_suspect_while_it_may_be_under_way(events: tuple[Event | None, ...]) -> None:
    assert not suspected(entry_of(*events), now=NOW + GRACE - 1)


@pytest.mark.parametrize("events", FINE.values(), ids=FINE.keys())
def test_what_something_holds_is_not_suspect(events: tuple[Event | None, ...]) -> None:
    assert not suspected(entry_of(*events), now=NOW + 9 * 86_400)


def test_what_nobody_has_read_yet_is_not_suspect() -> None:
    assert not suspected(entry_of(MESSAGE), read={})
    assert not suspected(entry_of(MESSAGE, DELIVER), read={"policy": READ["policy"]})


@pytest.mark.parametrize("first", [True, False])
def test_it_is_over_when_everybody_has_an_outcome_in_whatever_order(first: bool) -> None:
    events: list[Event] = [MESSAGE, ended(A), ended(B)]
    entry = entry_of(*(events if first else reversed(events)))
    assert entry.over
    assert not entry_of(MESSAGE, ended(A)).over


def test_sums_count_each_recipient_once() -> None:
    entry = Open()
    moves = [apply(entry, event, 1, NOW) for event in (MESSAGE, MESSAGE, ended(A), ended(A), ended(A, B))]
    assert sum(move.accepted for move in moves if move) == 2
    assert sum(move.ended for move in moves if move) == 2


@pytest.mark.parametrize("events", [*LOST.values(), *FINE.values()])
def test_the_table_keeps_all_of_it(events: tuple[Event | None, ...]) -> None:
    entry = entry_of(*events)
    assert opened(entry.value()) == entry
