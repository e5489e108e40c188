"""Ingress as a unit of a process."""

from __future__ import annotations

import asyncio
import os

from services.core.signals import Signals
from services.ingress.app import run
from services.ingress.config import read
from services.runtime.dns import Resolver
from services.runtime.follow import follow_signals
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Take mail in until `ctx.stop`."""
    config = read(ctx.environ)
    signals = Signals()
    dns = Resolver(ctx.environ.get("GATEPOST_DNS", "").strip(), ctx.clock)
    await ctx.directory_ready()
    following = asyncio.create_task(follow_signals(ctx.bus, signals, asyncio.Event()), name="ingress-signals")
    try:
        await run(
            config,
            store=ctx.store,
            bus=ctx.bus,
            directory=ctx.directory,
            dns=dns,
            signals=signals,
            clock=ctx.clock,
            entropy=os.urandom,
            stop=ctx.stop,
            ready=lambda: ctx.ready("ingress"),
        )
    finally:
        following.cancel()
        await asyncio.wait([following])
        await dns.close()
