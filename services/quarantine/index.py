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
from schemas.events import Act, Disposition, Hold, Outcome, QuarantineCommand, QuarantineRequest, Status
from services.core.heading import printable
from services.quarantine.decide import DAY, TEXT_MOST, Ended, Held, from_hold, to_hold, worse
from services.quarantine.migrate import migrate
from services.quarantine.tables import HELD, MESSAGES, WAITING, WANTED, State
from services.runtime.database import Database, database_url

RESUME: Final = 60.0  # seconds after which another sweep takes over what one left expiring; a publish takes at most 10
KEEP: Final = 40 * DAY  # seconds that ended rows stay: as long as a command may be replayed from its topic
CHUNK: Final = 100  # rows that are written or read at once: more would hold up everything else in the process

_ROW: Final = (
    *(column for column in MESSAGES.columns if column.name != "disposition"),
    *(column for column in HELD.columns if column.name not in {"id", "customer", "waits", "sender", "words"}),
)
_OF_MESSAGE: Final = tuple(column.name for column in MESSAGES.columns if column.name != "disposition")
_OF_HELD: Final = tuple(column.name for column in HELD.columns)
_OVER: Final = HELD.c.state.in_((State.RELEASED, State.DELETED, State.EXPIRED))
_STILL: Final = HELD.c.state.in_((State.HELD, State.STOPPED))  # what a release may begin from
_STOPPABLE: Final = HELD.c.state.in_((State.HELD, State.STOPPED, State.RELEASING))

Rows = list[Held]


class Index:
    """The index in a database. Every method raises DatabaseUnavailable when that can't answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.database = database  # for what else lies beside the index

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
                delete(HELD).where(HELD.c.id == message, HELD.c.recipient.in_(recipients), _STOPPABLE)
            )

    async def begin(self, command: QuarantineCommand, by: str, now: float) -> Ended:
        """Mark what is still held as releasing, and return all that this command has under way, since now or before.

        What it has released already is in what is returned: asked again, the same comes out.
        """
        mine = and_(HELD.c.id == command.id, HELD.c.customer == command.customer)
        async with self._database.writing() as connection:
            await connection.execute(
                update(HELD)
                .where(mine, _STILL, *_named(command), HELD.c.command != command.command_id)
                .values(state=State.RELEASING, ended_at=now, ended_by=by, command=command.command_id, note="")
            )
            states = HELD.c.state.in_((State.RELEASING, State.RELEASED))
            return await _ended(
                connection, rows_of().where(mine, states, HELD.c.command == command.command_id), command.id
            )

    async def under_way(self, command: QuarantineCommand) -> Ended:
        """Return what `begin` returned for this command, as it is now."""
        mine = and_(HELD.c.id == command.id, HELD.c.customer == command.customer, HELD.c.command == command.command_id)
        states = HELD.c.state.in_((State.RELEASING, State.RELEASED))
        async with self._database.reading() as connection:
            return await _ended(connection, rows_of().where(mine, states), command.id)

    async def release(self, message: str, command: str) -> Ended:
        """Let go what the command has under way, and return all that it let go, now or before."""
        mine = and_(HELD.c.id == message, HELD.c.command == command)
        async with self._database.writing() as connection:
            await connection.execute(
                update(HELD).where(mine, HELD.c.state == State.RELEASING).values(state=State.RELEASED, waits=0)
            )
            return await _ended(connection, rows_of().where(mine, HELD.c.state == State.RELEASED), message)

    async def stop(self, message: str, command: str, note: str, *, stay: bool = False) -> int:
        """End the release with the reason: what it had under way is held again. `stay`: it goes on, with a remark."""
        values: dict[str, object] = {"note": printable(note, TEXT_MOST)}
        if not stay:
            values |= {"state": State.STOPPED, "ended_at": 0.0}
        under_way = and_(HELD.c.id == message, HELD.c.command == command, HELD.c.state == State.RELEASING)
        async with self._database.writing() as connection:
            return (await connection.execute(update(HELD).where(under_way).values(values))).rowcount

    async def releasing(self, before: float, limit: int) -> list[tuple[str, str, str]]:
        """Return customer, message and command of releases that began before `before` and are under way still."""
        old = and_(HELD.c.state == State.RELEASING, HELD.c.ended_at <= before)
        wanted = select(HELD.c.customer, HELD.c.id, HELD.c.command).where(old).distinct().limit(limit)
        async with self._database.reading() as connection:
            return [(row[0], row[1], row[2]) for row in await connection.execute(wanted)]

    async def end(self, command: QuarantineCommand, by: str, now: float) -> Ended:
        """Delete what is still held, and return all that this command deleted, now or before."""
        mine = and_(HELD.c.id == command.id, HELD.c.customer == command.customer)
        async with self._database.writing() as connection:
            await connection.execute(
                update(HELD)
                .where(mine, _STOPPABLE, *_named(command))
                .values(state=State.DELETED, ended_at=now, ended_by=by, command=command.command_id, waits=0)
            )
            done = rows_of().where(mine, _OVER, HELD.c.command == command.command_id)
            return await _ended(connection, done, command.id)

    async def report(self, request: QuarantineRequest) -> int:
        """Note what a person says that the message is, and return for how many recipients."""
        said = WANTED if request.wanted else "clean" if request.act is Act.REPORT_CLEAN else "spam"
        mine = and_(HELD.c.id == request.id, HELD.c.customer == request.customer, *_named(request))
        async with self._database.writing() as connection:
            return (await connection.execute(update(HELD).where(mine).values(reported=said))).rowcount

    async def make_worse(self, message: str, customer: str, status: Status, note: str) -> int:
        """Raise the status of what still waits, and return for how many recipients; a better one changes nothing."""
        mine = and_(MESSAGES.c.id == message, MESSAGES.c.customer == customer)
        async with self._database.writing() as connection:
            before = await connection.scalar(select(MESSAGES.c.status).where(mine))
            if before is None or not worse(status, Status(before)):
                return 0
            await connection.execute(update(MESSAGES).where(mine).values(status=status))
            waits = and_(HELD.c.id == message, HELD.c.waits == 1)
            return (
                await connection.execute(update(HELD).where(waits).values(reason=printable(note, TEXT_MOST)))
            ).rowcount

    async def settle(self, outcome: Outcome) -> Rows:
        """Note how the release of these recipients ended, and return all rows of the message; none: it is not known."""
        mine = and_(HELD.c.id == outcome.id, HELD.c.recipient.in_(outcome.recipients))
        async with self._database.writing() as connection:
            await connection.execute(
                update(HELD)
                .where(mine, HELD.c.state == State.RELEASED, HELD.c.final == "")
                .values(final=outcome.state.value)
            )
            return await fetch(connection, rows_of().where(HELD.c.id == outcome.id))

    async def snapshot(self, message: str) -> Hold | None:
        """Return all that is known of the message, None when nothing is."""
        async with self._database.reading() as connection:
            return await _snapshot(connection, message)

    async def restore(self, holds: Sequence[Hold]) -> int:
        """Put in what isn't there yet of these, and return how many rows that were."""
        count = 0
        async with self._database.writing() as connection:
            known = set(await connection.scalars(select(MESSAGES.c.id).where(MESSAGES.c.id.in_([h.id for h in holds]))))
            for hold in holds:
                rows = from_hold(hold)
                if hold.id in known or not rows:
                    continue
                values = {name: getattr(rows[0], name) for name in _OF_MESSAGE}
                text = wire.encode(hold.disposition).decode()
                await connection.execute(insert(MESSAGES), [values | {"disposition": text}])
                await connection.execute(insert(HELD), [{name: getattr(r, name) for name in _OF_HELD} for r in rows])
                count += len(rows)
        return count

    async def ended(self, message: str, recipients: Sequence[str]) -> Ended:
        """Return what ended together with the hold of any of these recipients; an expiry under way is not over."""
        commands = select(HELD.c.command).where(HELD.c.id == message, HELD.c.recipient.in_(recipients), _OVER)
        async with self._database.reading() as connection:
            done = rows_of().where(HELD.c.id == message, _OVER, HELD.c.command.in_(commands))
            return await _ended(connection, done, message)

    async def claim_expired(self, sweep: str, now: float, limit: int) -> Ended:
        """Mark up to `limit` rows whose time is up as expiring, for this sweep alone, and return them."""
        due = or_(
            and_(_STOPPABLE, HELD.c.expires_at <= now),
            and_(HELD.c.state == State.EXPIRING, HELD.c.ended_at <= now - RESUME),
        )
        some = select(HELD.c.id, HELD.c.recipient).where(due).order_by(HELD.c.expires_at).limit(limit)
        async with self._database.writing() as connection:
            await connection.execute(
                update(HELD)
                .where(tuple_(HELD.c.id, HELD.c.recipient).in_(some), due)
                .values(state=State.EXPIRING, ended_at=now, command=sweep)
            )
            rows = rows_of().where(HELD.c.command == sweep, HELD.c.state == State.EXPIRING)
            return Ended(await fetch(connection, rows), {})

    async def expired(self, sweep: str) -> None:
        """Close what the sweep claimed: its outcomes are published."""
        async with self._database.writing() as connection:
            await connection.execute(
                update(HELD)
                .where(HELD.c.command == sweep, HELD.c.state == State.EXPIRING)
                .values(state=State.EXPIRED, waits=0)
            )

    async def purge(self, now: float) -> list[str]:
        """Take out messages that ended longer ago than any command could come back, and return their ids."""
        old = and_(_OVER, HELD.c.ended_at <= now - KEEP)
        async with self._database.writing() as connection:
            touched = set(await connection.scalars(select(HELD.c.id).where(old)))
            if not touched:
                return []
            await connection.execute(delete(HELD).where(old))
            gone = list(await connection.scalars(select(MESSAGES.c.id).where(MESSAGES.c.id.not_in(select(HELD.c.id)))))
            await connection.execute(delete(MESSAGES).where(MESSAGES.c.id.not_in(select(HELD.c.id))))
            return gone

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
        rows = rows_of().where(HELD.c.id.in_(newest), *wanted).order_by(HELD.c.id.desc(), HELD.c.recipient)
        async with self._database.reading() as connection:
            return await fetch(connection, rows)

    async def get(self, message: str, customer: str | None = None) -> Rows:
        """Return the message's rows, whatever their state; none when it was never held, or is another customer's."""
        wanted = [HELD.c.id == message]
        if customer is not None:
            wanted.append(HELD.c.customer == customer)
        async with self._database.reading() as connection:
            return await fetch(connection, rows_of().where(*wanted).order_by(HELD.c.recipient))

    async def disposition(self, message: str) -> Disposition | None:
        """Return the disposition that first held the message, None when none is known."""
        async with self._database.reading() as connection:
            text = await connection.scalar(select(MESSAGES.c.disposition).where(MESSAGES.c.id == message))
        return None if text is None else wire.decode(text.encode(), Disposition)

    async def reported(self, customer: str) -> dict[str, str]:
        """Return message id → clean or spam of what people reported; one on which they disagree is left out."""
        wanted = select(HELD.c.id, HELD.c.reported).where(HELD.c.customer == customer, HELD.c.reported != "")
        said: dict[str, set[str]] = {}
        async with self._database.reading() as connection:
            for message, what in await connection.execute(wanted):
                said.setdefault(message, set()).add("clean" if what == WANTED else what)
        return {message: whats.pop() for message, whats in said.items() if len(whats) == 1}

    async def waiting_of(self, customer: str) -> Sequence[str]:
        """Return the messages of a customer that are held for somebody."""
        wanted = select(HELD.c.id).where(HELD.c.customer == customer, HELD.c.waits == 1).distinct()
        async with self._database.reading() as connection:
            return (await connection.scalars(wanted)).all()

    async def held(self) -> dict[str, frozenset[str]]:
        """Return the recipients of each message that wait here: held, or their expiry not yet published."""
        waits = HELD.c.state.in_(WAITING)
        found: dict[str, set[str]] = {}
        async with self._database.reading() as connection:
            for message, recipient in await connection.execute(select(HELD.c.id, HELD.c.recipient).where(waits)):
                found.setdefault(message, set()).add(recipient)
        return {message: frozenset(recipients) for message, recipients in found.items()}


def _named(command: QuarantineCommand | QuarantineRequest) -> list[ColumnElement[bool]]:
    return [HELD.c.recipient.in_(command.recipients)] if command.recipients else []


async def _snapshot(connection: AsyncConnection, message: str) -> Hold | None:
    rows = await fetch(connection, rows_of().where(HELD.c.id == message).order_by(HELD.c.recipient))
    text = await connection.scalar(select(MESSAGES.c.disposition).where(MESSAGES.c.id == message))
    return to_hold(rows, wire.decode(text.encode(), Disposition)) if rows and text else None


def rows_of() -> Select[Any]:
    """Return the question for rows as `fetch` reads them; it wants a where."""
    return select(*_ROW).join_from(HELD, MESSAGES)


async def _ended(connection: AsyncConnection, rows: Select[Any], message: str) -> Ended:
    found = await fetch(connection, rows)
    if not any(row.state is State.RELEASED for row in found):
        return Ended(found, {})
    text = await connection.scalar(select(MESSAGES.c.disposition).where(MESSAGES.c.id == message))
    return Ended(found, {message: wire.decode(text.encode(), Disposition)} if text else {})


async def fetch(connection: AsyncConnection, rows: Select[Any]) -> Rows:
    """Return the rows, giving others their turn while there are many."""
    result = await connection.execute(rows)
    found: Rows = []
    while some := result.fetchmany(CHUNK):
        found += [_to_held(row) for row in some]
        await asyncio.sleep(0)
    return found


def _to_held(row: Row[Any]) -> Held:
    values = dict(row._mapping)
    return Held(**values | {"state": State(values["state"])})
