"""The reaper as a unit of a process."""

from __future__ import annotations

from schemas.catalog import MOVED, OUTCOMES
from services.reaper.app import Reaper
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Delete what is done until `ctx.stop`."""
    await ctx.consume("reaper", "reaper", (OUTCOMES, MOVED), Reaper(ctx.bus, ctx.store), max_in_flight=200)
