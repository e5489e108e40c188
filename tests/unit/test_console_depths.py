"""What waits is written down every minute: an hour's row holds the most and the longest, whoever writes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from schemas.catalog import QUEUES
from schemas.events import QueueState
from services.console.caller import Caller
from services.console.depths import Depths, Waited, waited
from services.console.roles import Role
from services.console.tables import DEPTHS
from services.runtime.bus import Record
from services.trace.tally import HOUR
from tests.house.console import ConsoleHouse, console_house

KEEP = 400  # days
OWNER = Caller(account="o", customer="acme", role=Role.OWNER, address="o@acme.test")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        yield house


def waits(house: ConsoleHouse, depth: int, seconds: float, customer: str = "acme", destination: str = "mx:25") -> None:
    now = house.clock.now()
    state = QueueState(
        customer=customer, destination=destination, owner="0", state="slow", depth=depth, oldest=now - seconds, at=now
    )
    house.waiting.apply(Record(QUEUES, 0, 0, f"{customer}/{destination}/0", state, now))


async def found(house: ConsoleHouse, customer: str | None = "acme", step: int = 1) -> dict[int, Waited]:
    this = int(house.clock.now() // HOUR)
    async with house.book.reading() as connection:
        return dict(await waited(connection, customer, this - 48, this + 1, step))


async def test_an_hours_row_has_the_most_that_waited_and_the_longest(house: ConsoleHouse) -> None:
    depths, other = (Depths(house.book, house.waiting, KEEP) for _ in range(2))
    hour = int(house.clock.now() // HOUR)
    waits(house, 7, 60)
    waits(house, 2, 300, destination="mx2:25")
    waits(house, 5, 10, customer="globex")
    await depths.note()
    waits(house, 1, 20)
    await depths.note()
    await other.note()  # another process has the same view
    assert await found(house) == {hour: Waited(9, 300)}
    assert await found(house, "globex") == {hour: Waited(5, 10)}
    assert await found(house, None) == {hour: Waited(14, 300)}
    waits(house, 3, 700, destination="mx2:25")  # fewer, for longer
    await other.note()
    assert await found(house) == {hour: Waited(9, 700)}


async def test_nothing_that_waits_is_no_row_and_what_is_too_old_goes(house: ConsoleHouse) -> None:
    depths = Depths(house.book, house.waiting, KEEP)
    await depths.note()
    waits(house, 4, 1)
    await depths.note()
    waits(house, 0, 0)
    house.clock.advance(HOUR)
    await depths.note()
    assert list((await found(house)).values()) == [Waited(4, 1)]
    house.clock.advance((KEEP * 24 - 1) * HOUR)
    await depths.note()
    async with house.book.reading() as connection:
        assert len((await connection.execute(select(DEPTHS))).all()) == 2  # the customer's and everybody's
    house.clock.advance(HOUR)
    await depths.note()
    async with house.book.reading() as connection:
        assert (await connection.execute(select(DEPTHS))).all() == []


async def test_the_dashboard_draws_what_waited_for_whom_it_is(house: ConsoleHouse) -> None:
    depths = Depths(house.book, house.waiting, KEEP)
    waits(house, 41, 3 * HOUR)
    await depths.note()
    house.clock.advance(2 * HOUR)
    waits(house, 8, 60)
    await depths.note()
    await house.customer("globex")
    reader, other = await house.person(Role.READER), await house.person(Role.READER, "globex")
    operator = await house.person(Role.OPERATOR, "")
    for page in (await reader.get("/c/acme/dashboard?days=1"), await operator.get("/dashboard?days=1")):
        assert '<figure class="queue">' in page.text
        assert '<td class="number">41</td><td class="number">3\u202fh</td>' in page.text
        assert '<td class="number">8</td><td class="number">1\u202fmin</td>' in page.text
    assert '<figure class="queue">' not in (await other.get("/c/globex/dashboard?days=1")).text
    week = await house.desk.figures.figures(OWNER, customer="acme", days=7)
    assert max(point.waiting for point in week.points) == 41
