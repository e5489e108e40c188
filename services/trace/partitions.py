"""What PostgreSQL needs beside the tables: a partition a day, and an index for parts of a subject."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Table, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core.errors import DatabaseUnavailable
from services.runtime.database import Database
from services.trace.tables import MESSAGES

log = logging.getLogger("gatepost.trace")

_LOCK: Final = 7_303_014  # of PostgreSQL's advisory locks: ours, so that two processes don't make the same table
_SUBJECT: Final = "trace_messages_subject"


async def make_days(database: Database, tables: Sequence[Table], days: Iterable[int]) -> None:
    """Make the partitions of these days where they are missing; raise DatabaseUnavailable."""
    async with database.writing() as connection:
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        for day in sorted(days):
            for table in tables:
                name = f"{table.name}_d{day}"
                # IF NOT EXISTS would lock the parent, and so hold up every search, before it finds that there is one.
                if await connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is None:
                    await connection.execute(
                        text(f"CREATE TABLE {name} PARTITION OF {table.name} FOR VALUES FROM ({day}) TO ({day + 1})")
                    )


async def drop_days(database: Database, tables: Sequence[Table], before: int) -> int:
    """Drop the partitions of all days up to `before`, and return how many days that were."""
    days: set[int] = set()
    async with database.writing() as connection:
        # It waits for a search that runs, and every other search waits behind it: rather put off than long.
        await connection.execute(text("SET LOCAL lock_timeout = '2s'"))
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        for table in tables:
            found = await connection.scalars(
                text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(:name)"),
                {"name": table.name},
            )
            for name in list(found):
                day = name.rpartition("_d")[2]
                if day.isdecimal() and int(day) <= before:
                    days.add(int(day))
                    await connection.execute(text(f"DROP TABLE {name}"))
    return len(days)


async def patient(database: Database, connection: AsyncConnection, *, alone: bool = False) -> None:
    """Say to PostgreSQL how to go about what is read in this transaction.

    With a plan for the values that are asked for: one for any values, which it makes of a statement's sixth use, opens
    every day's tables and takes ten times as long. And without compiling it, which costs more than it. `alone`: without
    helpers, for what is done before they have started.
    """
    if database.sqlite:
        return
    settings = {"plan_cache_mode": "force_custom_plan", "jit": "off"}
    if alone:
        settings["max_parallel_workers_per_gather"] = "0"
    said = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
    await connection.execute(text(f"SELECT {said}"))


async def subject_index(database: Database) -> None:
    """Make the index for parts of a subject, where the database has pg_trgm and lets us; without it they are read."""
    try:
        async with database.writing() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            if await connection.scalar(text("SELECT to_regclass(:name)"), {"name": _SUBJECT}) is not None:
                return
            await connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            await connection.execute(
                text(f"CREATE INDEX {_SUBJECT} ON {MESSAGES.name} USING gin (subject_key gin_trgm_ops)")
            )
    except (DatabaseUnavailable, ProgrammingError, DBAPIError) as error:
        log.warning("event=no-subject-index error=%s", str(error).splitlines()[0])
