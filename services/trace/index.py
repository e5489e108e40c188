"""The trace in a database: written in batches, searched by day, forgotten a day at a time."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Table, delete, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas import wire
from schemas.events import Event
from services.runtime.database import Database, database_url
from services.runtime.migrate import migrate
from services.trace.decide import DAY, Facts, Row, day_of, kept
from services.trace.pages import LOOKED_AT, rows_of
from services.trace.partitions import drop_days, make_days, patient, subject_index
from services.trace.query import Query, placed
from services.trace.recorded import Recorded, messages
from services.trace.recorded import told as told_of
from services.trace.rollup import RollUp, put
from services.trace.tables import ALL, EVENTS, MESSAGES, RECIPIENTS, TALLIES, TOPS, TOPS_DAYS
from services.trace.tally import EVERYBODY, HOUR, Count, Kind, added
from services.trace.tops import Top, Tops

log = logging.getLogger("gatepost.trace")

FOLDER: Final = Path(__file__).parent / "migrations"
CHUNK: Final = 2_000  # rows that SQLite deletes at once: others write between
TOLD_MOST: Final = 2_000  # events of one message that are read


Key = tuple[Any, ...]  # the values of a table's key


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A message or a refusal, with where it is for each recipient."""

    id: str
    customer: str
    domain: str
    refused: str  # the reason; empty for a message
    at: float  # seconds since the epoch
    sender: str
    client_ip: str
    helo: str
    subject: str
    message_id: str
    size: int  # octets
    recipients: Mapping[str, str]  # recipient → state


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """An event as the trace has it."""

    stamp: float  # when its producer sent it, seconds since the epoch
    event: Event


@dataclasses.dataclass(frozen=True, slots=True)
class Sum:
    """What was counted in some hours."""

    hour: int  # the first of them, since the epoch
    kind: Kind
    name: str
    count: int


class Index:
    """Every method raises DatabaseUnavailable when the database can't answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.insert
        self.looked_at = LOOKED_AT
        self._days: set[int] = set()  # that PostgreSQL has partitions for
        self._rollup = RollUp(database)
        self._tops = Tops(database)

    @classmethod
    async def open(cls, url: str) -> Index:
        """Return the index at the URL, its tables up to date.

        Raises ConfigError for a URL that is not of sqlite or postgresql, StartError when the database can't be used.
        """
        parsed = database_url(url)
        await migrate(parsed, FOLDER)
        index = cls(Database(parsed))
        if not index._database.sqlite:
            await subject_index(index._database)
        return index

    async def close(self) -> None:
        """Close every connection."""
        await self._database.close()

    # --- what the service does

    async def write(self, found: Sequence[Facts], today: int = 0) -> None:
        """Write the rows in one transaction; what is there already stays. They are durable when this returns.

        Days before `today` (days since the epoch) are over: whose top senders may have been counted are counted again.
        """
        if not self._database.sqlite:
            await self._make_days({facts.day for facts in found})
        messages = [facts.message for facts in found if facts.message is not None]
        recipients = [row for facts in found for row in facts.recipients if row["state"]]
        async with self._database.writing() as connection:
            known = await self._add(connection, MESSAGES, messages)
            new = await self._add(connection, EVENTS, [facts.event for facts in found])
            if recipients:
                put = self._insert(RECIPIENTS)
                statement = put.on_conflict_do_update(
                    index_elements=list(RECIPIENTS.primary_key),
                    set_={"state": put.excluded.state, "rank": put.excluded.rank},
                    where=put.excluded.rank > RECIPIENTS.c.rank,
                )
                await connection.execute(statement, _latest(recipients))
            # These last: all who write share some of their rows, and hold them from here on.
            taken = (row for row in messages if not row["refused"] and (row["day"], row["id"]) in known)
            await self._tops.late(connection, {row["day"] for row in taken if row["day"] < today})
            await self._count(connection, added(_first_seen(found, known, new)))

    async def _add(self, connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> set[Key]:
        """Insert what isn't there; return the keys of what wasn't."""
        if not rows:
            return set()
        # In the order of the key: two who write the same rows wait for each other, and don't lock each other out.
        keys = [column.name for column in table.primary_key]
        ordered = sorted(rows, key=lambda row: [row[key] for key in keys])
        statement = self._insert(table).on_conflict_do_nothing().returning(*table.primary_key)
        return {tuple(row) for row in await connection.execute(statement, ordered)}

    async def _count(self, connection: AsyncConnection, sums: Sequence[Count]) -> None:
        """Add to the tallies."""
        await put(self._database, connection, [dataclasses.asdict(each) for each in sums])

    async def _make_days(self, days: set[int]) -> None:
        missing = days - self._days
        if missing:
            await make_days(self._database, ALL, missing)
            self._days |= missing

    async def forget(self, before: int) -> int:
        """Take out every day up to and with `before` (days since the epoch); return how many that were."""
        if not self._database.sqlite:
            gone = await drop_days(self._database, ALL, before)
            self._days = {day for day in self._days if day > before}
            return gone
        days: set[int] = set()
        for table in ALL:
            key = list(table.primary_key)
            some = select(*key).where(table.c.day <= before).limit(CHUNK)
            while True:
                async with self._database.writing() as connection:
                    rows = (await connection.execute(some)).all()
                    days |= {row.day for row in rows}
                    if rows:
                        await connection.execute(delete(table).where(tuple_(*key).in_(some)))
                if len(rows) < CHUNK:
                    break
        return len(days)

    async def erase(self, customer: str) -> int:
        """Take out everything of a customer, some at a time, and return how many rows that were."""
        gone = 0
        for table in (*ALL, TALLIES, TOPS):
            key = list(table.primary_key)
            some = select(*key).where(table.c.customer == customer).limit(CHUNK)
            while True:
                async with self._database.writing() as connection:
                    count = (await connection.execute(delete(table).where(tuple_(*key).in_(some)))).rowcount
                gone += count
                if count < CHUNK:
                    break
        return gone

    async def forget_tallies(self, before: int) -> None:
        """Take out the tallies of every hour before this one (hours since the epoch), and the tops of such days."""
        async with self._database.writing() as connection:
            await connection.execute(delete(TALLIES).where(TALLIES.c.hour < before))
        await self._tops.forget(before * HOUR // DAY)

    async def roll_up(self, before: int) -> bool:
        """Make rows of a day of the oldest hours before `before` (days since the epoch); return whether there were any.

        What `tallies` returns in steps of whole days stays what it was.
        """
        return await self._rollup.day(before)

    async def count_tops(self, today: int) -> bool:
        """Count who sent and received most on the oldest day before `today` that is due; return whether one was."""
        return await self._tops.count_one(today)

    async def clear(self) -> None:
        """Take out everything, the tallies as well: what comes again is counted again."""
        async with self._database.writing() as connection:
            for table in (*ALL, TALLIES, TOPS, TOPS_DAYS):
                await connection.execute(delete(table))

    # --- what people ask

    async def search(self, query: Query) -> list[Found]:
        """Return a page of what the query finds, newest first; the last one's id is where the next page begins."""
        async with self._database.reading() as connection:
            await self._patient(connection)
            rows = await rows_of(connection, query, self.looked_at)
            recipients: dict[str, dict[str, str]] = {row.id: {} for row in rows}
            if rows:
                places = [(row.day, row.id) for row in rows]
                found = placed(places, RECIPIENTS, RECIPIENTS.c.id, RECIPIENTS.c.recipient, RECIPIENTS.c.state)
                for message, recipient, state in await connection.execute(found.order_by(RECIPIENTS.c.recipient)):
                    recipients[message][recipient] = state
        return [_found(row._mapping, recipients[row.id]) for row in rows]

    async def get(
        self, message: str, customer: str | None = None, domains: frozenset[str] | None = None
    ) -> Found | None:
        """Return the message or refusal of this id, None when there is none.

        None, too, when it is another customer's, or for none of the domains (None: for any).
        """
        wanted = [MESSAGES.c.day == day_of(message), MESSAGES.c.id == message]
        others = [RECIPIENTS.c.day == day_of(message), RECIPIENTS.c.id == message]
        if customer is not None:
            wanted.append(MESSAGES.c.customer == customer)
            others.append(RECIPIENTS.c.customer == customer)
        if domains is not None:
            wanted.append(MESSAGES.c.domain.in_(domains))
        async with self._database.reading() as connection:
            await self._patient(connection)
            row = (await connection.execute(select(MESSAGES).where(*wanted))).one_or_none()
            if row is None:
                return None
            found = select(RECIPIENTS.c.recipient, RECIPIENTS.c.state).where(*others).order_by(RECIPIENTS.c.recipient)
            recipients = {row.recipient: row.state for row in await connection.execute(found)}
        return _found(row._mapping, recipients)

    async def events(self, message: str, customer: str | None = None) -> list[Told]:
        """Return what happened to the message or refusal of this id, in the order in which it was sent."""
        wanted = [EVENTS.c.day == day_of(message), EVENTS.c.id == message]
        if customer is not None:
            wanted.append(EVENTS.c.customer == customer)
        statement = select(EVENTS.c.topic, EVENTS.c.at, EVENTS.c.event).where(*wanted).order_by(EVENTS.c.at)
        async with self._database.reading() as connection:
            await self._patient(connection)
            rows = (await connection.execute(statement.limit(TOLD_MOST))).all()
        told = []
        for topic, at, event in rows:
            try:
                told.append(Told(at, kept(topic, event)))
            except wire.Undecodable as error:  # written by a later version: the rest is shown all the same
                log.warning("id=%s event=step-unreadable error=%s", message, error)
        return told

    async def tallies(self, customer: str | None, since: int, until: int, step: int) -> list[Sum]:
        """Return what was counted from hour `since` up to hour `until`, in steps of so many hours.

        None means the whole service. Hours are since the epoch; a step's hour is a multiple of `step`.
        """
        start = (TALLIES.c.hour // step * step).label("start")
        of = TALLIES.c.customer == (EVERYBODY if customer is None else customer)
        asked = select(start, TALLIES.c.kind, TALLIES.c.name, func.sum(TALLIES.c.count)).where(
            of, TALLIES.c.hour >= since, TALLIES.c.hour < until
        )
        async with self._database.reading() as connection:
            await self._patient(connection)
            rows = (await connection.execute(asked.group_by(text("start"), TALLIES.c.kind, TALLIES.c.name))).all()
        known = set(Kind)
        return [Sum(hour, Kind(kind), name, int(count)) for hour, kind, name, count in rows if kind in known]

    async def tops(self, customer: str, since: float, until: float, most: int) -> tuple[list[Top], list[Top]]:
        """Return who sent most to a customer, and who of it was sent most, as far as its days go back."""
        async with self._database.reading() as connection:
            await self._patient(connection)
            return await self._tops.between(connection, customer, since, until, most)

    async def recorded(
        self, customer: str, since: float, before: str, limit: int, domains: frozenset[str] | None = None
    ) -> list[Recorded]:
        """Return the customer's next accepted messages since then, newest first, with what was said of them.

        `domains` are those that they are for; None: any.
        """
        async with self._database.reading() as connection:
            await self._patient(connection)
            rows = await rows_of(connection, messages(customer, since, before, limit, domains), self.looked_at)
            found: dict[str, list[tuple[str, str]]] = {row.id: [] for row in rows}
            if rows:
                events = await connection.execute(told_of(customer, [(row.day, row.id) for row in rows]))
                for event in events:
                    found[event.id].append((event.topic, event.event))
        return [Recorded(message, tuple(told)) for message, told in found.items()]

    async def _patient(self, connection: AsyncConnection) -> None:
        await patient(self._database, connection)

    async def size(self) -> int:
        """Return how many events there are. Counts them: for tests and for `rebuild`."""
        async with self._database.reading() as connection:
            return int(await connection.scalar(select(func.count()).select_from(EVENTS)) or 0)


def _first_seen(found: Sequence[Facts], known: set[Key], new: set[Key]) -> Iterator[Count]:
    """Yield the counts of what had not been written before.

    A message that the store publishes again is an event of its own, and yet no second message.
    """
    left = new | known  # keys of two lengths
    for facts in found:
        row = facts.message
        key = _key(facts) if row is None else (row["day"], row["id"])
        if key in left:
            left.remove(key)
            yield from facts.counts


def _key(facts: Facts) -> Key:
    return facts.event["day"], facts.event["id"], facts.event["step"]


def _latest(rows: Iterable[Row]) -> list[Row]:
    """Return the latest row of each recipient, in the order of the key."""
    last: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = (row["day"], row["id"], row["recipient"])
        if key not in last or row["rank"] > last[key]["rank"]:
            last[key] = row
    return [last[key] for key in sorted(last)]


_FIELDS: Final = tuple(field.name for field in dataclasses.fields(Found) if field.name != "recipients")


def _found(row: Mapping[Any, Any], recipients: Mapping[str, str]) -> Found:
    return Found(**{name: row[name] for name in _FIELDS}, recipients=recipients)
