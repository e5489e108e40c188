"""The reaper as a unit of a process."""

from __future__ import annotations

import asyncio

from schemas.catalog import MOVED, OUTCOMES
from services.reaper.app import Reaper
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Delete what is done until `ctx.stop`."""
    reaper = Reaper(ctx.bus, ctx.store, ctx.directory.customer, ctx.clock)
    await ctx.directory_ready()  # who wants copies kept: unknown, they would be gone
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(reaper.expire(ctx.stop), name="reaper-expire")
        await ctx.consume("reaper", "reaper", (OUTCOMES, MOVED), reaper, max_in_flight=200)
