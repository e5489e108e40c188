"""The quarantine index: who is held, since when, and how it ended. One row for each recipient of a message.

Every change is one transaction, and says in the row which command made it: asked again, it finds its own work done and
returns the same rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, delete, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas import wire
from schemas.events import Disposition, QuarantineCommand
from services.quarantine.decide import DAY, ENDED_BY, Ended, Held
from services.quarantine.migrate import migrate
from services.quarantine.tables import HELD, MESSAGES, State
from services.runtime.database import Database, database_url

RESUME: Final = 60.0  # seconds after which another sweep takes over what one left expiring; a publish takes at most 10
KEEP: Final = 40 * DAY  # seconds that ended rows stay: as long as a command may be replayed from its topic
CHUNK: Final = 100  # rows that are written or read at once: more would hold up everything else in the process

_ROW: Final = (
    *(column for column in MESSAGES.columns if column.name != "disposition"),
    *(column for column in HELD.columns if column.name not in {"id", "customer"}),
)
_OF_MESSAGE: Final = tuple(column.name for column in MESSAGES.columns if column.name != "disposition")
_OF_HELD: Final = tuple(column.name for column in HELD.columns)
_OVER: Final = HELD.c.state.in_((State.RELEASED, State.DELETED, State.EXPIRED))

Rows = list[Held]


class Index:
    """The index in a database. Every method raises DatabaseUnavailable when that can't answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, url: str) -> Index:
        """Return the index at the URL, its tables up to date.

        Raises ConfigError for a URL that is not of sqlite or postgresql, StartError when the database can't be used.
        """
        parsed = database_url(url)
        await migrate(parsed)
        return cls(Database(parsed))

    async def close(self) -> None:
        """Close every connection."""
        await self._database.close()

    # --- what the service does

    async def hold(self, holds: Sequence[Held], disposition: Disposition) -> int:
        """Hold what isn't known yet and return how many that were; a row that is there stays as it is."""
        message = disposition.received.id
        async with self._database.writing() as connection:
            known = set(await connection.scalars(select(HELD.c.recipient).where(HELD.c.id == message)))
            new = [held for held in holds if held.recipient not in known]
            if new and await connection.scalar(select(MESSAGES.c.id).where(MESSAGES.c.id == message)) is None:
                values = {name: getattr(new[0], name) for name in _OF_MESSAGE}
                text = wire.encode(disposition).decode()
                await connection.execute(insert(MESSAGES), [values | {"disposition": text}])
            if new:
                await connection.execute(
                    insert(HELD), [{name: getattr(held, name) for name in _OF_HELD} for held in new]
                )
            return len(new)

    async def forget(self, message: str, recipients: Sequence[str]) -> None:
        """Take out holds of recipients for whom policy has decided anew, and otherwise."""
        async with self._database.writing() as connection:
            await connection.execute(
                delete(HELD).where(HELD.c.id == message, HELD.c.recipient.in_(recipients), HELD.c.state == State.HELD)
            )

    async def end(self, command: QuarantineCommand, by: str, now: float) -> Ended:
        """Carry the command out on what is still held, and return all that this command ended, now or before."""
        of_message = and_(HELD.c.id == command.id, HELD.c.customer == command.customer)
        asked = [of_message, HELD.c.state == State.HELD]
        if command.recipients:
            asked.append(HELD.c.recipient.in_(command.recipients))
        async with self._database.writing() as connection:
            await connection.execute(
                update(HELD)
                .where(*asked)
                .values(state=ENDED_BY[command.action], ended_at=now, ended_by=by, command=command.command_id)
            )
            done = _rows().where(of_message, _OVER, HELD.c.command == command.command_id)
            return await _ended(connection, done, command.id)

    async def ended(self, message: str, recipients: Sequence[str]) -> Ended:
        """Return what ended together with the hold of any of these recipients; an expiry under way is not over."""
        commands = select(HELD.c.command).where(HELD.c.id == message, HELD.c.recipient.in_(recipients), _OVER)
        async with self._database.reading() as connection:
            done = _rows().where(HELD.c.id == message, _OVER, HELD.c.command.in_(commands))
            return await _ended(connection, done, message)

    async def claim_expired(self, sweep: str, now: float, limit: int) -> Ended:
        """Mark up to `limit` rows whose time is up as expiring, for this sweep alone, and return them."""
        due = or_(
            and_(HELD.c.state == State.HELD, HELD.c.expires_at <= now),
            and_(HELD.c.state == State.EXPIRING, HELD.c.ended_at <= now - RESUME),
        )
        some = select(HELD.c.id, HELD.c.recipient).where(due).order_by(HELD.c.expires_at).limit(limit)
        async with self._database.writing() as connection:
            await connection.execute(
                update(HELD)
                .where(tuple_(HELD.c.id, HELD.c.recipient).in_(some), due)
                .values(state=State.EXPIRING, ended_at=now, command=sweep)
            )
            rows = _rows().where(HELD.c.command == sweep, HELD.c.state == State.EXPIRING)
            return Ended(await _fetch(connection, rows), {})

    async def expired(self, sweep: str) -> None:
        """Close what the sweep claimed: its outcomes are published."""
        async with self._database.writing() as connection:
            await connection.execute(
                update(HELD).where(HELD.c.command == sweep, HELD.c.state == State.EXPIRING).values(state=State.EXPIRED)
            )

    async def purge(self, now: float) -> int:
        """Take out what ended longer ago than any command could come back, and return how many rows that were."""
        async with self._database.writing() as connection:
            gone = await connection.execute(delete(HELD).where(_OVER, HELD.c.ended_at <= now - KEEP))
            if gone.rowcount:
                await connection.execute(delete(MESSAGES).where(MESSAGES.c.id.not_in(select(HELD.c.id))))
            return gone.rowcount

    # --- what people ask

    async def list(
        self, customer: str | None = None, state: str | None = State.HELD, limit: int = 50, before: str | None = None
    ) -> Rows:
        """Return the rows of the newest `limit` messages, newest first; `before`: only messages older than this id.

        `customer` None means all customers, which only an operator may see. A message's rows are never torn apart.
        """
        wanted: list[ColumnElement[bool]] = []
        if customer is not None:
            wanted.append(HELD.c.customer == customer)
        if state is not None:
            wanted.append(HELD.c.state == state)
        if before is not None:
            wanted.append(HELD.c.id < before)
        newest = select(HELD.c.id).where(*wanted).distinct().order_by(HELD.c.id.desc()).limit(limit)
        rows = _rows().where(HELD.c.id.in_(newest), *wanted).order_by(HELD.c.id.desc(), HELD.c.recipient)
        async with self._database.reading() as connection:
            return await _fetch(connection, rows)

    async def get(self, message: str, customer: str | None = None) -> Rows:
        """Return the message's rows, whatever their state; none when it was never held, or is another customer's."""
        wanted = [HELD.c.id == message]
        if customer is not None:
            wanted.append(HELD.c.customer == customer)
        async with self._database.reading() as connection:
            return await _fetch(connection, _rows().where(*wanted).order_by(HELD.c.recipient))

    async def disposition(self, message: str) -> Disposition | None:
        """Return the disposition that first held the message, None when none is known."""
        async with self._database.reading() as connection:
            text = await connection.scalar(select(MESSAGES.c.disposition).where(MESSAGES.c.id == message))
        return None if text is None else wire.decode(text.encode(), Disposition)

    async def held(self) -> dict[str, frozenset[str]]:
        """Return the recipients of each message that wait here: held, or their expiry not yet published."""
        waits = HELD.c.state.in_((State.HELD, State.EXPIRING))
        found: dict[str, set[str]] = {}
        async with self._database.reading() as connection:
            for message, recipient in await connection.execute(select(HELD.c.id, HELD.c.recipient).where(waits)):
                found.setdefault(message, set()).add(recipient)
        return {message: frozenset(recipients) for message, recipients in found.items()}


def _rows() -> Select[Any]:
    return select(*_ROW).join_from(HELD, MESSAGES)


async def _ended(connection: AsyncConnection, rows: Select[Any], message: str) -> Ended:
    found = await _fetch(connection, rows)
    if not any(row.state is State.RELEASED for row in found):
        return Ended(found, {})
    text = await connection.scalar(select(MESSAGES.c.disposition).where(MESSAGES.c.id == message))
    return Ended(found, {message: wire.decode(text.encode(), Disposition)} if text else {})


async def _fetch(connection: AsyncConnection, rows: Select[Any]) -> Rows:
    result = await connection.execute(rows)
    found: Rows = []
    while some := result.fetchmany(CHUNK):
        found += [_to_held(row) for row in some]
        await asyncio.sleep(0)
    return found


def _to_held(row: Row[Any]) -> Held:
    values = dict(row._mapping)
    return Held(**values | {"state": State(values["state"])})
