"""Tallies of long ago by the day: nobody looks at their hours any more, and a quarter of a year has two thousand.

A day's row is that of its first hour, so whoever adds up hours in steps of days reads both. What comes late for an hour
that is gone makes a row of its own again, and the same sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.runtime.database import Database
from services.trace.tables import TALLIES

DAY_HOURS: Final = 24
BY_HOUR: Final = 9  # days: dashboards over more than a week, and reports over more than a day, have steps of whole days


async def put(database: Database, connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Add to the tallies: rows of the table, in the order of its key."""
    if rows:
        new = database.insert(TALLIES)
        statement = new.on_conflict_do_update(
            index_elements=list(TALLIES.primary_key), set_={"count": TALLIES.c.count + new.excluded.count}
        )
        await connection.execute(statement, rows)


class RollUp:
    """Makes days of hours, a day at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._done = 0  # days before this one have been looked through: what came late for them waits for a new start

    async def day(self, before: int) -> bool:
        """Do the oldest day before `before` (days since the epoch) that has hours; return whether there was one.

        Raises DatabaseUnavailable; what was done by then is done.
        """
        hour = TALLIES.c.hour
        due = select(func.min(hour)).where(
            hour > self._done * DAY_HOURS, hour < before * DAY_HOURS, hour % DAY_HOURS != 0
        )
        async with self._database.reading() as connection:
            first = await connection.scalar(due)
            if first is None:
                self._done = max(self._done, before)
                return False
            day = int(first) // DAY_HOURS
            customers = list(await connection.scalars(select(TALLIES.c.customer).distinct().where(*_hours(day))))
        for customer in customers:
            await self._of(customer, day)
        self._done = day
        return True

    async def _of(self, customer: str, day: int) -> None:
        # Whoever adds to one of these rows meanwhile has done so before, or makes it again after.
        gone = delete(TALLIES).where(TALLIES.c.customer == customer, *_hours(day))
        async with self._database.writing() as connection:
            sums: Counter[tuple[str, str]] = Counter()
            for kind, name, count in await connection.execute(
                gone.returning(TALLIES.c.kind, TALLIES.c.name, TALLIES.c.count)
            ):
                sums[kind, name] += int(count)
            first = {"customer": customer, "hour": day * DAY_HOURS}
            await put(
                self._database,
                connection,
                [{**first, "kind": kind, "name": name, "count": sums[kind, name]} for kind, name in sorted(sums)],
            )


def _hours(day: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """All hours of the day but its first."""
    return TALLIES.c.hour > day * DAY_HOURS, TALLIES.c.hour < (day + 1) * DAY_HOURS
