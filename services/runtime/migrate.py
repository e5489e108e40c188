"""Brings a room's tables to the version of this code. Each room has a folder of Alembic's and a version table."""

from __future__ import annotations

import asyncio
import logging
import threading
from functools import partial
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from services.core.errors import DatabaseUnavailable, StartError
from services.runtime.database import first_line, transact

log = logging.getLogger("gatepost.migrate")

ATTEMPTS = 3  # two processes that start on an empty PostgreSQL: one makes the tables, the other finds them made
PAUSE = 0.3  # seconds
_ONE_AT_A_TIME = threading.Lock()  # Alembic's `context` and `op` are the process's: two upgrades would swap connections


async def migrate(url: URL, folder: Path) -> None:
    """Upgrade to the newest version, in one transaction; raise StartError, one line, when that can't be done."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            # Alembic reads and runs files: not on the loop.
            await asyncio.to_thread(transact, url, partial(upgrade, folder=folder))
        except (SQLAlchemyError, CommandError, DatabaseUnavailable) as error:
            if attempt == ATTEMPTS:
                reason = first_line(error) if isinstance(error, SQLAlchemyError) else str(error)
                place = url.render_as_string(hide_password=True)
                raise StartError(f"the database {place} can't be used: {reason}") from error
            await asyncio.sleep(PAUSE)
        else:
            return


def upgrade(connection: Connection, revision: str = "head", *, folder: Path) -> None:
    """Upgrade within the connection's transaction.

    Tables of a version that this code doesn't know stay as they are: a later release has made them, and this one runs
    again after a rollback. That holds because a migration only adds.
    """
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _ONE_AT_A_TIME:
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            unknown = error.__cause__.argument if isinstance(error.__cause__, ResolutionError) else revision
            if unknown == revision:
                raise
            log.warning("room=%s version=%s event=tables-are-newer", folder.parent.name, unknown)
