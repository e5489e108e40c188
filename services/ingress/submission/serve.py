"""Submission as a unit of a process."""

from __future__ import annotations

import os

from services.core.signals import Signals
from services.ingress.app import run
from services.ingress.serve import FILES, allow_files
from services.ingress.submission.config import read
from services.ingress.submission.server import SubmissionServer
from services.runtime.dns import Resolver
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Take outgoing mail in until `ctx.stop`."""
    config = read(ctx.environ)
    allow_files(config.max_connections + FILES)
    dns = Resolver(ctx.environ.get("GATEPOST_DNS", "").strip(), ctx.clock)
    await ctx.directory_ready()
    try:
        server = SubmissionServer(
            config,
            store=ctx.store,
            bus=ctx.bus,
            directory=ctx.directory,
            dns=dns,
            signals=Signals(),
            clock=ctx.clock,
            entropy=os.urandom,
        )
        await run(server, stop=ctx.stop, ready=lambda: ctx.ready("submission"))
    finally:
        await dns.close()
