"""Who sent a customer most messages, and who of it was sent most: of days that are over, written down once.

Counting them from the messages takes seconds over a quarter of a year. A day's row holds all addresses of a customer
with their counts; reports add up the rows of whole days, and count messages only for what is left of the first and the
last one. A message that comes later than its day marks the day, and it is counted again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.runtime.database import Database
from services.trace.decide import DAY
from services.trace.partitions import patient
from services.trace.query import top_recipients, top_senders
from services.trace.tables import MESSAGES, TOPS, TOPS_DAYS

KEPT: Final = 10_000  # addresses of a customer's day: who sends from ever new ones is at none of the tops

Pair = tuple[str, int]
_counts = msgspec.json.Decoder(dict[str, int])


class State(enum.IntEnum):
    """Of a day: part of the table, so a number is never given another meaning."""

    DUE = 0
    UNDER_WAY = 1
    DONE = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Top:
    """An address, and how many messages had it."""

    address: str
    count: int


class Tops:
    """Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- what the service does

    async def late(self, connection: AsyncConnection, days: Iterable[int]) -> None:
        """Say that messages of these days come in this transaction: whoever counts them waits for its end."""
        await self._mark(connection, [{"day": day, "state": State.DUE} for day in sorted(days)])

    async def count_one(self, today: int) -> bool:
        """Count the oldest day before `today` (days since the epoch) that is due; return whether there was one."""
        day = await self._due(today)
        if day is None:
            return False
        async with self._database.writing() as connection:
            await self._mark(connection, [{"day": day, "state": State.UNDER_WAY}])
        async with self._database.reading() as connection:
            on_it = (MESSAGES.c.day == day, MESSAGES.c.refused == "", MESSAGES.c.customer != "")
            customers = list(await connection.scalars(select(MESSAGES.c.customer).distinct().where(*on_it)))
        for customer in customers:
            await self._count(customer, day)
        async with self._database.writing() as connection:
            # Not when something has come in meanwhile: then it is due again.
            mine = (TOPS_DAYS.c.day == day, TOPS_DAYS.c.state == State.UNDER_WAY)
            await connection.execute(update(TOPS_DAYS).where(*mine).values(state=State.DONE))
        return True

    async def forget(self, before: int) -> None:
        """Take out every day before this one."""
        async with self._database.writing() as connection:
            for table in (TOPS, TOPS_DAYS):
                await connection.execute(delete(table).where(table.c.day < before))

    async def _due(self, today: int) -> int | None:
        done = select(TOPS_DAYS.c.day).where(TOPS_DAYS.c.state == State.DONE)
        async with self._database.reading() as connection:
            first = await connection.scalar(select(func.min(MESSAGES.c.day)))
            counted = set(await connection.scalars(done))
        days = range(today if first is None else int(first), today)
        return next((day for day in days if day not in counted), None)

    async def _mark(self, connection: AsyncConnection, rows: Sequence[Mapping[str, int]]) -> None:
        put = self._database.insert(TOPS_DAYS)
        statement = put.on_conflict_do_update(index_elements=[TOPS_DAYS.c.day], set_={"state": put.excluded.state})
        if rows:
            await connection.execute(statement, rows)

    async def _count(self, customer: str, day: int) -> None:
        begin, end = day * DAY, (day + 1) * DAY
        async with self._database.reading() as connection:
            senders, recipients = await self._counted(connection, customer, begin, end)
        async with self._database.writing() as connection:
            row = {"customer": customer, "day": day, "senders": _written(senders), "recipients": _written(recipients)}
            put = self._database.insert(TOPS)
            named = {name: put.excluded[name] for name in ("senders", "recipients")}
            await connection.execute(
                put.on_conflict_do_update(index_elements=list(TOPS.primary_key), set_=named), [row]
            )

    async def _counted(
        self, connection: AsyncConnection, customer: str, begin: float, end: float
    ) -> tuple[list[Pair], list[Pair]]:
        await patient(self._database, connection, alone=True)
        senders = (await connection.execute(top_senders(customer, begin, end, KEPT))).all()
        recipients = (await connection.execute(top_recipients(customer, begin, end, KEPT))).all()
        return [(row[0], int(row[1])) for row in senders], [(row[0], int(row[1])) for row in recipients]

    # --- what people ask

    async def between(
        self, connection: AsyncConnection, customer: str, since: float, until: float, most: int
    ) -> tuple[list[Top], list[Top]]:
        """Return who sent most to a customer, and who of it was sent most, from `since` up to `until`."""
        first, last = -int(-since // DAY), int(until // DAY)  # the whole days
        done = select(TOPS_DAYS.c.day).where(
            TOPS_DAYS.c.day >= first, TOPS_DAYS.c.day < last, TOPS_DAYS.c.state == State.DONE
        )
        days = set(await connection.scalars(done))
        mine = (TOPS.c.customer == customer, TOPS.c.day.in_(sorted(days)))
        rows = (await connection.execute(select(TOPS.c.senders, TOPS.c.recipients).where(*mine))).all() if days else []
        senders = await asyncio.to_thread(_added, [row.senders for row in rows])
        recipients = await asyncio.to_thread(_added, [row.recipients for row in rows])
        for begin, end in gaps(since, until, days):
            more = await self._counted(connection, customer, begin, end)
            for sums, found in zip((senders, recipients), more, strict=True):
                sums.update(dict(found))
        return _most(senders, most), _most(recipients, most)


def gaps(since: float, until: float, days: Iterable[int]) -> list[tuple[float, float]]:
    """Return what of the time from `since` up to `until` is on none of these days, as few stretches. Pure."""
    found, begin = [], since
    for day in sorted(days):
        if day * DAY > begin:
            found.append((begin, float(day * DAY)))
        begin = max(begin, float((day + 1) * DAY))
    return [*found, (begin, until)] if begin < until else found


def _written(pairs: Iterable[Pair]) -> str:
    return msgspec.json.encode(dict(pairs)).decode()


def _added(columns: Iterable[str]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for each in columns:
        sums.update(_counts.decode(each))
    return sums


def _most(sums: Counter[str], most: int) -> list[Top]:
    ordered = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
    return [Top(address, count) for address, count in ordered[:most]]
