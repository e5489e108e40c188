"""Ingress as a unit of a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from typing import Final

from services.core.signals import Signals
from services.ingress.app import run
from services.ingress.config import read
from services.ingress.server import Ingress
from services.runtime.dns import Resolver
from services.runtime.follow import follow_signals
from services.runtime.host import Context

FILES: Final = 512  # beside the clients: the store, the broker, DNS


async def serve(ctx: Context) -> None:
    """Take mail in until `ctx.stop`."""
    config = read(ctx.environ)
    allow_files(config.max_connections + FILES)
    signals = Signals()
    dns = Resolver(ctx.environ.get("GATEPOST_DNS", "").strip(), ctx.clock)
    await ctx.directory_ready()
    following = asyncio.create_task(follow_signals(ctx.bus, signals, asyncio.Event()), name="ingress-signals")
    try:
        ingress = Ingress(
            config,
            store=ctx.store,
            bus=ctx.bus,
            directory=ctx.directory,
            dns=dns,
            signals=signals,
            clock=ctx.clock,
            entropy=os.urandom,
        )
        await run(ingress, stop=ctx.stop, ready=lambda: ctx.ready("ingress"))
    finally:
        following.cancel()
        await asyncio.wait([following])
        await dns.close()


def allow_files(wanted: int) -> None:
    """Let the process have as many open files as it may; short of them, asyncio stops accepting for a second a time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):  # where even that is forbidden, it stays as it was
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
