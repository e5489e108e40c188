"""Policy as a unit of a process."""

from __future__ import annotations

import asyncio

from schemas.catalog import RECEIVED, VERDICTS
from services.core.senders import Senders
from services.policy.app import Policy
from services.runtime.follow import follow_senders
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Join and decide until `ctx.stop`."""
    senders, known = Senders(), asyncio.Event()
    policy = Policy(ctx.bus, ctx.directory.customer, ctx.clock, senders)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follow_senders(ctx.bus, senders, known), name="policy-senders")
        tasks.create_task(policy.ask_again(ctx.stop), name="policy-ask-again")
        await ctx.directory_ready()
        await known.wait()  # before that, mail would pass that somebody has blocked
        await ctx.consume("policy", "policy", (RECEIVED, VERDICTS), policy, max_in_flight=2_000)
        following.cancel()
