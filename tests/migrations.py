"""Whether migrations make the tables that the code knows."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection


async def differences(connection: AsyncConnection, version_table: str, metadata: MetaData) -> list[Any]:
    """Return what a room's tables are otherwise than `metadata` says; the database has those of other rooms as well."""
    room = version_table.removesuffix("version")

    def ours(name: str | None, kind: str, _: object) -> bool:
        return kind != "table" or (name or "").startswith(room)

    opts = {"version_table": version_table, "compare_type": True, "include_name": ours}
    found: list[Any] = await connection.run_sync(
        lambda sync: compare_metadata(MigrationContext.configure(sync, opts=opts), metadata)
    )
    return found
