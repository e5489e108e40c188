"""What is counted of the events: each once, however often it comes, for its customer and for everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert, select

from schemas.events import (
    Action,
    Branch,
    Direction,
    Disposition,
    Envelope,
    Event,
    Outcome,
    Rejection,
    State,
    Status,
)
from services.trace.decide import facts
from services.trace.index import Index
from services.trace.tables import TALLIES
from services.trace.tally import BOUNDS, EVERYBODY, HOUR, LONGER, Kind, bound_of, counts, quantile
from tests.samples import NOW, received, verdict

NOON = int(NOW // HOUR)
THREE = Envelope(reverse_path="x@sender.test", recipients=("a@e.test", "b@e.test", "c@e.test"), client_ip="192.0.2.7")
MESSAGE = received(envelope=THREE)


def decided(*branches: Branch, **changes: object) -> Disposition:
    values = {"status": Status.SPAM, "score": 9.0, "scanners": ("auth/2=clean", "content/2=spam"), **changes}
    return Disposition(received=MESSAGE, branches=branches, decided_at=NOW + 1, **values)  # type: ignore[arg-type]  # as the test says


def branch(action: Action, *recipients: str) -> Branch:
    return Branch(recipients=recipients, action=action, rule="r", reason="x")


def outcome(**changes: object) -> Outcome:
    event = Outcome(
        id=MESSAGE.id,
        customer=MESSAGE.customer,
        key=MESSAGE.key,
        recipients=("a@e.test",),
        total=3,
        state=State.DELIVERED,
        at=NOW + 0.7,
        received_at=NOW,
        attempts=1,
    )
    return msgspec.structs.replace(event, **changes)


MIXED = decided(branch(Action.QUARANTINE, "a@e.test", "b@e.test"), branch(Action.DELETE, "c@e.test"))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (MESSAGE, [("in", "", 3), ("messages", "", 1), ("octets", "", 100)]),
        (received(envelope=THREE, direction=Direction.OUTBOUND), [("out", "", 3)]),
        (received(own="digest"), []),
        (received(bounce_of=MESSAGE.id), []),
        (MIXED, [("deleted", "content", 1), ("held", "content", 2), ("threat", "spam", 3)]),
        (decided(branch(Action.DELIVER, "a@e.test"), status=Status.CLEAN), []),
        (decided(branch(Action.QUARANTINE, "a@e.test"), status=Status.CLEAN), [("held", "rules", 1)]),
        (decided(branch(Action.QUARANTINE, "a@e.test"), status=Status.UNAVAILABLE), [("held", "rules", 1)]),
        (msgspec.structs.replace(MIXED, release="01K"), []),
        (verdict(MESSAGE, "virus", Status.VIRUS), [("virus", "VIRUS", 1)]),
        (verdict(MESSAGE, "virus"), []),
        (outcome(), [("ended", "delivered", 1), ("latency", "1000", 1)]),
        (outcome(attempts=2), [("ended", "delivered", 1)]),
        (outcome(key=f"released/{MESSAGE.customer}/x"), [("ended", "delivered", 1)]),
        (outcome(state=State.BOUNCED), [("ended", "bounced", 1)]),
        (outcome(direction=Direction.OUTBOUND), [("out-ended", "delivered", 1)]),
        (outcome(own="digest"), []),
    ],
)
def test_what_an_event_adds(event: Event, expected: list[tuple[str, str, int]]) -> None:
    found = counts(event)
    for customer in (MESSAGE.customer, EVERYBODY):
        seen = sorted((each.kind.value, each.name, each.count) for each in found if each.customer == customer)
        assert seen == expected
    assert {each.customer for each in found} <= {MESSAGE.customer, EVERYBODY}
    assert {each.hour for each in found} <= {NOON}


def test_a_refusal_that_is_nobodys_counts_for_everybody_alone() -> None:
    (found,) = counts(Rejection(client_ip="192.0.2.7", at=NOW, reason="blocked", reply="554"))
    assert (found.customer, found.kind, found.name, found.count) == (EVERYBODY, Kind.REFUSED, "blocked", 1)


@pytest.mark.parametrize(
    ("seconds", "bound"), [(-1.0, 50), (0.0, 50), (0.05, 50), (0.0501, 100), (300.0, 300_000), (301.0, LONGER)]
)
def test_spans_hold_their_upper_bound(seconds: float, bound: int) -> None:
    assert bound_of(seconds) == bound


def test_quantiles_lie_in_the_span_that_holds_them() -> None:
    assert quantile({}, 0.5) == 0.0
    assert quantile({1_000: 10}, 1.0) == 1.0
    assert 0.5 < quantile({1_000: 10}, 0.5) < 1.0
    spans = {100: 90, 60_000: 9, LONGER: 1}
    assert quantile(spans, 0.5) < 0.1
    assert 30 < quantile(spans, 0.95) < 60
    assert quantile(spans, 1.0) == pytest.approx(LONGER / 1_000)
    for share in (0.01, 0.3, 0.9, 0.99):
        assert quantile(dict.fromkeys(BOUNDS, 1), share) <= quantile(dict.fromkeys(BOUNDS, 1), share + 0.01)


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    index = await Index.open(f"sqlite:///{tmp_path / 'trace.db'}")
    yield index
    await index.close()


async def sums(index: Index, customer: str | None = MESSAGE.customer, step: int = 1) -> dict[tuple[str, str], int]:
    start = NOON // step * step
    found = await index.tallies(customer, start, NOON + 1, step)
    assert {each.hour for each in found} <= {start}
    return {(each.kind.value, each.name): each.count for each in found}


async def test_the_same_again_counts_nothing_in_one_batch_or_in_another(index: Index) -> None:
    again = msgspec.structs.replace(MESSAGE, recovered=True)
    events: list[Event] = [MESSAGE, MIXED, outcome(), again, MIXED]
    for batch in (events, events, [again]):
        await index.write([facts(event, NOW) for event in batch])
    expected = {
        ("in", ""): 3,
        ("messages", ""): 1,
        ("octets", ""): 100,
        ("held", "content"): 2,
        ("deleted", "content"): 1,
        ("threat", "spam"): 3,
        ("ended", "delivered"): 1,
        ("latency", "1000"): 1,
    }
    assert await sums(index) == await sums(index, None) == await sums(index, step=24) == expected
    assert await sums(index, "other") == {}
    await index.write([facts(received(envelope=THREE), NOW)])
    assert (await sums(index))["in", ""] == 6
    await index.forget_tallies(NOON)
    assert (await sums(index))["in", ""] == 6
    await index.forget_tallies(NOON + 1)
    assert await sums(index) == {}


async def test_who_sent_most_and_who_was_sent_most(index: Index) -> None:
    other = received(customer="globex")
    refused = Rejection(
        client_ip="192.0.2.7", at=NOW, reason="x", reply="5", customer="example", recipient="<z@e.test>"
    )
    events: list[Event] = [MESSAGE, received(envelope=THREE), received(), other, refused]
    await index.write([facts(event, NOW) for event in events])
    senders, recipients = await index.tops("example", NOW - 10, NOW + 10, 2)
    assert [(top.address, top.count) for top in senders] == [("x@sender.test", 2), ("alice@sender.test", 1)]
    assert [(top.address, top.count) for top in recipients] == [("a@e.test", 2), ("b@e.test", 2)]
    assert await index.tops("example", NOW + 10, NOW + 20, 2) == ([], [])


async def test_old_hours_become_days_and_no_sum_of_days_changes(index: Index) -> None:
    """Whatever is counted for them afterwards as well, and kinds that only a later version knows."""
    day = NOON // 24 - 20
    for hour in (day * 24, day * 24 + 5, day * 24 + 23, (day + 1) * 24 + 1, NOON):
        for customer in ("a", "b"):
            at = hour * HOUR + 60.0
            await index.write([facts(received(customer=customer, received_at=at), at)])
    async with index._database.writing() as connection:
        await connection.execute(insert(TALLIES), [_later(day * 24 + hour, hour) for hour in (1, 2)])

    async def found(customer: str | None, step: int) -> dict[tuple[int, str], int]:
        sums = await index.tallies(customer, day * 24, NOON + 1, step)
        return {(each.hour, each.kind.value): each.count for each in sums}

    async def rows(since: int, until: int) -> list[tuple[int, str, int]]:
        asked = select(TALLIES.c.hour, TALLIES.c.kind, TALLIES.c.count).where(
            TALLIES.c.customer == "a", TALLIES.c.hour >= since, TALLIES.c.hour < until
        )
        async with index._database.reading() as connection:
            return sorted(tuple(row) for row in await connection.execute(asked))

    before = {(customer, step): await found(customer, step) for customer in ("a", None) for step in (24, 72, 168)}
    this_week = await found("a", 1)
    while await index.roll_up(NOON // 24 - 9):
        pass
    assert not await index.roll_up(NOON // 24 - 9)
    assert {(customer, step): await found(customer, step) for customer, step in before} == before
    assert before["a", 24][day * 24, "messages"] == 3
    assert {hour for hour, _, _ in await rows(0, NOON)} == {day * 24, (day + 1) * 24}
    assert (day * 24, "later", 3) in await rows(0, NOON)
    assert (await found("a", 1))[NOON, "messages"] == this_week[NOON, "messages"]
    late = (day * 24 + 7) * HOUR + 0.0
    await index.write([facts(received(customer="a", received_at=late), late)])
    assert (await found("a", 24))[day * 24, "messages"] == 4


def _later(hour: int, count: int) -> dict[str, object]:
    return {"customer": "a", "hour": hour, "kind": "later", "name": "", "count": count}
