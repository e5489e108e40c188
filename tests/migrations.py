"""Whether migrations make the tables that the code knows."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection


async def differences(connection: AsyncConnection, version_table: str, metadata: MetaData) -> list[Any]:
    """Return what the database has otherwise than `metadata`."""
    opts = {"version_table": version_table, "compare_type": True}
    found: list[Any] = await connection.run_sync(
        lambda sync: compare_metadata(MigrationContext.configure(sync, opts=opts), metadata)
    )
    return found
