"""Policy as a unit of a process."""

from __future__ import annotations

import asyncio

from schemas.catalog import RECEIVED, VERDICTS
from services.core.signals import Signals
from services.policy.app import Policy
from services.runtime.follow import follow_signals
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Join and decide until `ctx.stop`."""
    signals = Signals()
    policy = Policy(ctx.bus, ctx.directory.customer, ctx.clock, signals)
    following = asyncio.create_task(follow_signals(ctx.bus, signals, asyncio.Event()), name="policy-signals")
    try:
        await _serve(ctx, policy)
    finally:
        following.cancel()
        await asyncio.wait([following])


async def _serve(ctx: Context, policy: Policy) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(policy.ask_again(ctx.stop), name="policy-ask-again")
        await ctx.directory_ready()
        await ctx.consume("policy", "policy", (RECEIVED, VERDICTS), policy, max_in_flight=2_000)
