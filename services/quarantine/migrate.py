"""Brings the index's tables to the version of this code."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.engine import URL

from services.runtime import migrate as runtime

FOLDER = Path(__file__).parent / "migrations"


async def migrate(url: URL) -> None:
    """Upgrade to the newest version, in one transaction; raise StartError, one line, when that can't be done."""
    await runtime.migrate(url, FOLDER)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Upgrade within the connection's transaction."""
    runtime.upgrade(connection, revision, folder=FOLDER)
