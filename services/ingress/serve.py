"""Ingress as a unit of a process."""

from __future__ import annotations

import os

from services.ingress.app import run
from services.ingress.config import read
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Take mail in until `ctx.stop`."""
    config = read(ctx.environ)
    await ctx.directory_ready()
    await run(
        config,
        store=ctx.store,
        bus=ctx.bus,
        directory=ctx.directory,
        clock=ctx.clock,
        entropy=os.urandom,
        stop=ctx.stop,
        ready=lambda: ctx.ready("ingress"),
    )
