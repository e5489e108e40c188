"""The SQL database as the services see it: SQLite in a file, or PostgreSQL. Never on the path of a message.

Statements are SQLAlchemy's, without anything that only one of the two understands. What differs is here: how a
transaction begins, and how durable it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.core.errors import ConfigError, DatabaseUnavailable

WITHIN: Final = 10.0  # seconds for one unit of work, the wait for a connection included
CHECK: Final = 3.0  # seconds for a look whether it is there
MIGRATION: Final = 3_600.0  # seconds: an index over millions of rows takes minutes, and half of one is worth nothing
BUSY: Final = 5.0  # seconds that SQLite waits for another process's transaction

_DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


def database_url(text: str) -> URL:
    """Return the URL with the driver that we use; raise ConfigError, without the password, for another database."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ConfigError("GATEPOST_DATABASE: not a database URL") from error
    if url.drivername not in _DRIVERS:
        raise ConfigError(f"GATEPOST_DATABASE: {url.drivername} is neither sqlite nor postgresql")
    return url.set(drivername=_DRIVERS[url.drivername])


class Database:
    """An engine whose work has a deadline and whose failures are typed."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.sqlite = url.get_backend_name() == "sqlite"
        self._engine = _engine(url, sqlite=self.sqlite)

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)

    def insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """Return an insertion that may say what happens when the row is there already (`on_conflict_…`)."""
        return sqlite.insert(table) if self.sqlite else postgresql.insert(table)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads. Raises DatabaseUnavailable, also when it takes too long."""
        async with _typed(), self._engine.connect() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def writing(self, within: float = WITHIN) -> AsyncIterator[AsyncConnection]:
        """A transaction that is durable when the block has ended, and never was when it ends with an exception."""
        async with _typed(within), self._engine.connect() as connection:
            writer = await connection.execution_options(writes=True)
            async with writer.begin():
                yield writer

    async def check(self) -> None:
        """Return when the database answers; raise DatabaseUnavailable when it doesn't within a few seconds."""
        async with _typed(CHECK), self._engine.connect() as connection:
            await connection.execute(select(1))

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def transact(url: URL, work: Callable[[Connection], None]) -> None:
    """Do the work in one writing transaction, and block until it is durable: this is for a thread.

    Raises what SQLAlchemy raises.
    """
    if url.get_backend_name() != "sqlite":
        asyncio.run(_transact(url, work))  # asyncpg has no blocking side
        return
    # Not through aiosqlite: when it can't open the file, its thread outlives a loop that ends at once, and fails there.
    engine = create_engine(url.set(drivername="sqlite"), connect_args={"timeout": BUSY})
    _tune(engine)
    try:
        with engine.connect() as connection:
            writer = connection.execution_options(writes=True)
            with writer.begin():
                work(writer)
    finally:
        engine.dispose()


async def _transact(url: URL, work: Callable[[Connection], None]) -> None:
    database = Database(url)
    try:
        async with database.reading() as connection:  # one that doesn't answer is found out now, not in an hour
            await connection.execute(select(1))
        async with database.writing(MIGRATION) as connection:
            await connection.run_sync(work)
    finally:
        await database.close()


def _engine(url: URL, *, sqlite: bool) -> AsyncEngine:
    if not sqlite:
        return create_async_engine(url, pool_pre_ping=True, pool_timeout=WITHIN)
    # One connection: SQLite has one writer anyway, and waiting here is fairer than its busy loop.
    engine = create_async_engine(url, connect_args={"timeout": BUSY}, pool_size=1, max_overflow=0, pool_timeout=WITHIN)
    _tune(engine.sync_engine)
    return engine


def _tune(engine: Engine) -> None:
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401  # the driver's own type
    connection.isolation_level = None  # or the driver commits before DDL, and a migration could end half done
    cursor = connection.cursor()
    # FULL: an offset is committed right after a row, and a power cut may not take the row alone.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: one that read before would fail, not wait, when another process wrote meanwhile.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextlib.asynccontextmanager
async def _typed(within: float = WITHIN) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(within):
            yield
    except (TimeoutError, PoolTimeoutError) as error:
        raise DatabaseUnavailable(f"no answer within {within:g} s") from error
    except (ProgrammingError, DataError):
        raise  # the statement's fault: the same again gives the same
    except IntegrityError as error:
        raise DatabaseUnavailable(f"another process was faster: {first_line(error)}") from error
    except DBAPIError as error:
        raise DatabaseUnavailable(first_line(error)) from error
    except OSError as error:  # asyncpg's connection refused
        raise DatabaseUnavailable(str(error)) from error


def first_line(error: SQLAlchemyError) -> str:
    """Return what the driver said, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return (str(cause).splitlines() or [type(cause).__name__])[0]
