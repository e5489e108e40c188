"""Asks broker, store and database now and then whether they are there, so that a process can say what it misses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from services.core.errors import BusUnavailable, DatabaseUnavailable, StoreUnavailable
from services.runtime.health import Health

log = logging.getLogger("gatepost.host")

ASK_EVERY: Final = 1.0  # seconds; of the store only while it misses
ASK_STORE_EVERY: Final = 15.0  # seconds: the question is a small write, and on S3 each of them is paid for
ASK_DATABASE_EVERY: Final = 5.0
MISSES: Final = 2  # in a row: one answer that is late on a busy machine takes nobody out of a balancer


class Answers(Protocol):
    """A neighbour that can be asked. Raises BusUnavailable, StoreUnavailable or DatabaseUnavailable when it is away."""

    async def check(self) -> None:
        """Return when it answers."""
        ...


async def watch(
    bus: Answers,
    store: Answers | None,
    health: Health,
    *,
    every: float = ASK_EVERY,
    store_every: float = ASK_STORE_EVERY,
) -> None:
    """Keep `health` told of both, for ever; without a store of the broker alone. The start is not waited for here."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_ask("broker", bus.check, health, every, every), name="neighbours-broker")
        if store is not None:
            tasks.create_task(_ask("store", store.check, health, store_every, every), name="neighbours-store")


async def watch_database(database: Answers, health: Health, *, every: float = ASK_DATABASE_EVERY) -> None:
    """Keep `health` told of the database, for ever.

    A console without it stays ready: its pages say so, and taken out of a balancer nobody would see them.
    """
    await _ask("database", database.check, health, every, min(every, ASK_EVERY), health.misses)


async def _ask(
    name: str,
    check: Callable[[], Awaitable[None]],
    health: Health,
    every: float,
    again: float,
    tell: Callable[[str, str], None] | None = None,
) -> None:
    """`again`: seconds to the next question once an answer was missed; `tell`: how it is said, if not by `waits`."""
    tell = tell or health.waits
    misses = 0
    while True:
        await asyncio.sleep(again if misses else every)
        try:
            await check()
        except (BusUnavailable, StoreUnavailable, DatabaseUnavailable) as error:
            misses += 1
            if misses >= MISSES:
                tell(name, f"waiting for the {name}: {error}")
            if misses == MISSES:
                log.warning("event=%s-away error=%s", name, error)
        else:
            health.ready(name)
            if misses >= MISSES:
                log.info("event=%s-back", name)
            misses = 0
