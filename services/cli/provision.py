"""What must be there before any service starts, and waiting for it: on a cluster the order of starting is nobody's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from schemas.catalog import SCANNERS
from schemas.events import Scanner
from services.cli import apply
from services.cli.customers_file import read_customers
from services.console.book import FOLDER as CONSOLE
from services.core.errors import DatabaseUnavailable, StartError, Temporary
from services.quarantine.migrate import FOLDER as QUARANTINE
from services.runtime.database import database_url
from services.runtime.kafka import KafkaBus
from services.runtime.latest import latest
from services.runtime.migrate import migrate
from services.runtime.provision import ALL, require_topics
from services.trace.index import FOLDER as TRACE

log = logging.getLogger("gatepost.provision")

PAUSE: Final = 2.0  # seconds between tries


async def provision(kafka: str, environ: Mapping[str, str], customers: Path | None, within: float) -> str:
    """Make topics, bucket, plan and tables, and apply the customers; return what a person should read.

    What isn't there yet is waited for, `within` seconds in all; then StartError. Safe to run again.
    """
    specs = (
        None if customers is None else read_customers(customers)
    )  # before anything is made: a mistake is told at once
    database = environ.get("GATEPOST_DATABASE", "")

    async def everything() -> str:
        await apply.provision(kafka, environ)
        if database:
            await _tables(database)
        return "provisioned" if specs is None else f"provisioned; {await apply.customers_of(kafka, specs)}"

    return await _insist(everything, within)


async def wait(kafka: str, within: float) -> str:
    """Return once topics and plan are there, for `within` seconds at most; then StartError."""

    async def there() -> str:
        await require_topics(kafka, ALL)
        bus = KafkaBus(kafka, "gatepost-await")
        try:
            plan = await latest(bus, SCANNERS, Scanner)
        finally:
            await bus.close()
        if not plan:
            raise StartError("there is no plan of scanners; `gatepost provision` makes it")
        return f"ready: {len(ALL)} topics, scanners {', '.join(sorted(plan))}"

    return await _insist(there, within)


async def _tables(database: str) -> None:
    try:
        for folder in (QUARANTINE, TRACE, CONSOLE):
            await migrate(database_url(database), folder)
    except StartError as error:
        raise DatabaseUnavailable(str(error)) from error


async def _insist(work: Callable[[], Awaitable[str]], within: float) -> str:
    until = time.monotonic() + within
    while True:
        try:
            return await work()
        except (Temporary, StartError) as error:
            if time.monotonic() + PAUSE > until:
                raise StartError(f"not within {within:.0f} s: {error}") from error
            log.warning("event=waiting reason=%s", error)
        await asyncio.sleep(PAUSE)
