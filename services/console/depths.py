"""How much waits for MTAs, written down every minute: delivery says only how much that is now.

A row is an hour's, and holds the most that waited at once and the longest that anything had waited. So it makes no
difference how many processes write it, and customers of whom nothing waits have no rows.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, case, delete, func, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.book import Book
from services.console.looks import looking
from services.console.queues import QueueView
from services.console.tables import DEPTHS
from services.delivery.states import Standing
from services.trace.tally import EVERYBODY, HOUR

EVERY: Final = 60.0  # seconds between samples
DAY_HOURS: Final = 24


@dataclasses.dataclass(frozen=True, slots=True)
class Waited:
    """What waited in some hours."""

    most: int = 0  # messages, at once
    seconds: float = 0.0  # that the oldest of them had waited, when it was longest


NOTHING: Final = Waited()


class Depths:
    """Writes it down."""

    def __init__(self, book: Book, view: QueueView, keep_days: int) -> None:
        self._book = book
        self._view = view
        self._keep = keep_days * DAY_HOURS
        self._swept = 0  # the hour of the last look for what is too old

    async def run(self, stop: asyncio.Event) -> None:
        """Write every minute until `stop`."""
        await looking(stop, EVERY, self.note, "queue-depths-put-off")

    async def note(self) -> None:
        """Write down what waits now, and forget what is too old; raises DatabaseUnavailable."""
        now = self._book.clock.now()
        hour = int(now // HOUR)
        rows = [
            {"customer": customer, "hour": hour, "most": found.most, "waited": found.seconds}
            for customer, found in sorted(by_customer(self._view.standings(now), now).items())
        ]
        if not rows and hour == self._swept:
            return
        put = self._book.database.insert(DEPTHS)
        more = or_(put.excluded.most > DEPTHS.c.most, put.excluded.waited > DEPTHS.c.waited)
        statement = put.on_conflict_do_update(
            index_elements=list(DEPTHS.primary_key),
            set_={name: _greater(put.excluded[name], DEPTHS.c[name]) for name in ("most", "waited")},
            where=more,
        )
        async with self._book.database.writing() as connection:
            if rows:
                await connection.execute(statement, rows)
            if hour != self._swept:
                await connection.execute(delete(DEPTHS).where(DEPTHS.c.hour < hour - self._keep))
        self._swept = hour


def _greater(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((one > other, one), else_=other)  # greatest() is PostgreSQL's alone


def by_customer(standings: Iterable[Standing], now: float) -> dict[str, Waited]:
    """Return what waits of each customer of whom something does, and of everybody together."""
    found: dict[str, Waited] = {}
    for one in standings:
        if one.depth > 0:
            for whose in (one.customer, EVERYBODY):
                before = found.get(whose, NOTHING)
                waited = max(before.seconds, now - one.oldest if one.oldest else 0.0)
                found[whose] = Waited(before.most + one.depth, waited)
    return found


async def waited(
    connection: AsyncConnection, customer: str | None, since: int, until: int, step: int
) -> Mapping[int, Waited]:
    """Return what waited from hour `since` up to hour `until`, by the first hour of steps of so many hours.

    None means the whole service. Steps in which nothing waited are left out.
    """
    start = (DEPTHS.c.hour // step * step).label("start")
    asked = select(start, func.max(DEPTHS.c.most), func.max(DEPTHS.c.waited)).where(
        DEPTHS.c.customer == (EVERYBODY if customer is None else customer),
        DEPTHS.c.hour >= since,
        DEPTHS.c.hour < until,
    )
    rows = await connection.execute(asked.group_by(literal_column("start")))
    return {hour: Waited(most, seconds) for hour, most, seconds in rows}
