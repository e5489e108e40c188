"""Top senders and recipients: the same from days that were counted as from the messages, whatever comes late."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from schemas.events import Envelope, Received, Rejection
from services.core.ids import message_id
from services.trace.decide import DAY, facts
from services.trace.index import Index
from services.trace.tables import MESSAGES, TOPS, TOPS_DAYS
from services.trace.tops import Top, Tops, gaps
from tests.samples import NOW, received

TODAY = int(NOW // DAY)
MIDNIGHT = float(TODAY * DAY)


def sent(at: float, sender: str, *recipients: str, customer: str = "acme") -> Received:
    envelope = Envelope(reverse_path=sender, recipients=recipients or ("bob@acme.test",), client_ip="192.0.2.7")
    serial = next(_serials)
    one = message_id(at, lambda octets: serial.to_bytes(octets, "big"))
    return received(id=one, customer=customer, envelope=envelope, received_at=at)


_serials = iter(range(1, 10**9))


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    index = await Index.open(f"sqlite:///{tmp_path / 'trace.db'}")
    yield index
    await index.close()


async def write(index: Index, *events: Received | Rejection, today: int = TODAY) -> None:
    await index.write(
        [facts(event, event.received_at if isinstance(event, Received) else event.at) for event in events], today
    )


async def count(index: Index, today: int = TODAY) -> int:
    days = 0
    while await index.count_tops(today):
        days += 1
    return days


async def tops(index: Index, since: float, until: float) -> tuple[list[Top], list[Top]]:
    return await index.tops("acme", since, until, 3)


HISTORY = [
    *(sent(MIDNIGHT - day * DAY + 3_600 * day, f"s{day % 3}@x.test", f"r{day % 2}@acme.test") for day in range(6)),
    sent(MIDNIGHT - DAY + 7, "S1@X.test", "R0@acme.test", "r1@acme.test"),
    sent(MIDNIGHT - DAY + 8, "<>".strip("<>"), "r1@acme.test"),
    sent(MIDNIGHT - 2 * DAY + 9, "other@x.test", customer="globex"),
]
REFUSED = Rejection(
    at=MIDNIGHT - DAY + 5,
    client_ip="192.0.2.1",
    reason="blocked",
    reply="550",
    customer="acme",
    reverse_path="s1@x.test",
)


@pytest.mark.parametrize("since", [0.0, MIDNIGHT - 4 * DAY, MIDNIGHT - 4 * DAY + 3_600 * 4, MIDNIGHT - DAY + 8])
@pytest.mark.parametrize("until", [MIDNIGHT + DAY, MIDNIGHT, MIDNIGHT - DAY + 8, MIDNIGHT - 2 * DAY])
async def test_days_that_were_counted_change_nothing(index: Index, since: float, until: float) -> None:
    await write(index, *HISTORY, REFUSED)
    before = await tops(index, since, until)
    assert await count(index) == 5
    assert await tops(index, since, until) == before
    senders = Counter(
        event.envelope.reverse_path.lower()
        for event in HISTORY
        if event.customer == "acme" and since <= event.received_at < until and event.envelope.reverse_path
    )
    assert {top.address: top.count for top in before[0]} == dict(
        sorted(senders.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
    )


async def test_they_are_read_from_the_days_where_there_are_any(index: Index) -> None:
    await write(index, *HISTORY)
    await count(index)
    async with index._database.writing() as connection:
        await connection.execute(MESSAGES.delete().where(MESSAGES.c.day < TODAY))
    senders, recipients = await tops(index, 0.0, MIDNIGHT + DAY)
    assert senders[0] == Top("s1@x.test", 3)
    assert recipients[0].count == 5


async def test_what_comes_late_is_counted_and_so_is_what_comes_meanwhile(index: Index) -> None:
    await write(index, *HISTORY)
    await count(index)
    await write(index, sent(MIDNIGHT - 3 * DAY, "late@x.test"), sent(MIDNIGHT - 3 * DAY, "late@x.test"))
    senders, _ = await tops(index, MIDNIGHT - 3 * DAY, MIDNIGHT - 2 * DAY)
    assert senders[0] == Top("late@x.test", 2)
    assert await count(index) == 1
    assert (await tops(index, MIDNIGHT - 3 * DAY, MIDNIGHT - 2 * DAY))[0][0] == Top("late@x.test", 2)
    assert await count(index) == 0

    class Meanwhile(Tops):
        async def _count(self, customer: str, day: int) -> None:
            await super()._count(customer, day)
            if not came:
                came.append(sent(MIDNIGHT - 3 * DAY + 5, "meanwhile@x.test"))
                await write(index, *came)

    came: list[Received] = []
    await write(index, sent(MIDNIGHT - 3 * DAY, "again@x.test"))
    assert await Meanwhile(index._database).count_one(TODAY)
    assert await count(index) == 1
    senders, _ = await index.tops("acme", MIDNIGHT - 3 * DAY, MIDNIGHT - 2 * DAY, 9)
    assert Top("meanwhile@x.test", 1) in senders


async def test_a_count_that_was_cut_short_is_done_again(index: Index) -> None:
    class Cut(Tops):
        async def _count(self, customer: str, day: int) -> None:
            raise OSError(f"killed at {customer}, {day}")

    await write(index, *HISTORY)
    with pytest.raises(OSError, match="killed"):
        await Cut(index._database).count_one(TODAY)
    before = await tops(index, 0.0, MIDNIGHT)
    assert await count(index) == 5
    assert await tops(index, 0.0, MIDNIGHT) == before


async def test_days_and_customers_go_with_the_rest(index: Index) -> None:
    await write(index, *HISTORY)
    await count(index)

    async def left() -> set[tuple[str, int]]:
        async with index._database.reading() as connection:
            return {tuple(row) for row in await connection.execute(select(TOPS.c.customer, TOPS.c.day))}

    assert ("globex", TODAY - 2) in await left()
    await index.erase("globex")
    assert {customer for customer, _ in await left()} == {"acme"}
    await index.forget_tallies((TODAY - 2) * 24)
    assert {day for _, day in await left()} == {TODAY - 2, TODAY - 1}
    await index.clear()
    assert await left() == set()
    async with index._database.reading() as connection:
        assert (await connection.execute(select(TOPS_DAYS))).all() == []


@given(st.floats(0, 10 * DAY), st.floats(0, 10 * DAY), st.sets(st.integers(-1, 11)))
def test_gaps_and_whole_days_make_up_the_window(since: float, until: float, days: set[int]) -> None:
    whole = {day for day in days if day * DAY >= since and (day + 1) * DAY <= until}
    found = gaps(since, until, whole)
    assert all(begin < end for begin, end in found)
    pieces = sorted([*found, *((day * DAY, (day + 1) * DAY) for day in whole)])
    assert sum(end - begin for begin, end in pieces) == pytest.approx(max(0.0, until - since))
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(pieces))
