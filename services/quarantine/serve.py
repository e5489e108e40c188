"""The quarantine as a unit of a process."""

from __future__ import annotations

import asyncio

from schemas.catalog import COMMANDS, DISPOSITIONS
from services.quarantine.app import Quarantine
from services.quarantine.config import QuarantineConfig
from services.quarantine.index import Index
from services.runtime.config import load
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Hold, release and expire until `ctx.stop`."""
    config = load(QuarantineConfig, ctx.environ)
    index = await Index.open(config.database)
    try:
        quarantine = Quarantine(config, index, ctx.store, ctx.bus, ctx.directory.customer, ctx.clock)
        await ctx.directory_ready()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(quarantine.expire(ctx.stop), name="quarantine-expire")
            await ctx.consume("quarantine", "quarantine", (DISPOSITIONS, COMMANDS), quarantine)
    finally:
        await index.close()
