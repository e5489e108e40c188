"""Chaos repeats from its seed, and its verdict finds what it is there to find."""

from __future__ import annotations

from typing import Any

from schemas.events import Outcome, State
from tests.chaos.plan import plan
from tests.chaos.verdict import Sent, Verdict, judge, open_pairs, outcomes_of

BOB = "bob@example.test"


def sent(name: str, kind: str = "clean") -> Sent:
    return Sent(name, f"token-{name}", kind, (BOB,))


def outcome(name: str, state: State = State.DELIVERED, **changes: Any) -> Outcome:
    recipients = changes.pop("recipients", (BOB,))
    return Outcome(
        id=name,
        customer="example",
        key=name,
        recipients=recipients,
        total=1,
        state=state,
        at=1.0,
        received_at=0.0,
        **changes,
    )


def judged(outcomes: list[Outcome], arrived: dict[tuple[str, str], int], tokens: tuple[str, ...] = ()) -> Verdict:
    return judge([sent("a")], outcomes_of(outcomes), arrived, {"token-eicar": "virus"}, tokens)


def test_the_same_seed_gives_the_same_faults() -> None:
    parts, wires = ["policy-1", "store"], ["to-store", "to-mta"]
    one = plan(7, 50, parts, wires, ["disk"])
    assert one == plan(7, 50, parts, wires, ["disk"])
    assert one != plan(8, 50, parts, wires, ["disk"])
    assert {(fault.kind, fault.target) for fault in one} >= {
        *((kind, part) for kind in ("kill", "pause") for part in parts),
        *(("cut", wire) for wire in wires),
        ("fill", "disk"),
    }


def test_a_message_that_ended_once_and_arrived_once_is_fine() -> None:
    verdict = judged([outcome("a")], {("a", BOB): 1})
    assert verdict.failures == []
    assert verdict.states == {"delivered": 1}
    assert open_pairs([sent("a")], outcomes_of([outcome("a")])) == []


def test_a_message_without_an_outcome_is_lost_even_if_it_arrived() -> None:
    assert judged([], {("a", BOB): 1}).lost
    assert open_pairs([sent("a")], {}) == [("a", BOB)]


def test_an_outcome_without_an_arrival_is_lost() -> None:
    assert judged([outcome("a")], {}).lost
    assert judged([outcome("a", State.WITHDRAWN)], {}).lost


def test_outcomes_that_contradict_each_other_are_torn() -> None:
    verdict = judged([outcome("a"), outcome("a", State.BOUNCED)], {("a", BOB): 1})
    assert verdict.torn
    assert verdict.lost == []


def test_an_outcome_said_again_is_no_failure() -> None:
    verdict = judged([outcome("a"), outcome("a")], {("a", BOB): 1})
    assert (verdict.failures, verdict.repeated) == ([], 1)


def test_a_second_copy_is_a_failure_unless_it_is_recorded_as_possible() -> None:
    assert judged([outcome("a")], {("a", BOB): 2}).doubled
    verdict = judged([outcome("a", possible_duplicate=True)], {("a", BOB): 2})
    assert (verdict.failures, verdict.recorded) == ([], 1)


def test_what_policy_stopped_must_not_arrive() -> None:
    assert judged([outcome("a")], {("a", BOB): 1}, ("token-a", "token-eicar")).leaked == ["token-eicar (virus)"]
