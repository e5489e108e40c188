"""Policy as a unit of a process."""

from __future__ import annotations

import asyncio

from schemas.catalog import RECEIVED, VERDICTS
from services.policy.app import Policy
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Join and decide until `ctx.stop`."""
    policy = Policy(ctx.bus, ctx.directory.customer, ctx.clock)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(policy.ask_again(ctx.stop), name="policy-ask-again")
        await ctx.directory_ready()
        await ctx.consume("policy", "policy", (RECEIVED, VERDICTS), policy, max_in_flight=2_000)
