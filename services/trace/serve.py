"""The trace as a unit of a process."""

from __future__ import annotations

import asyncio

from services.runtime.config import load
from services.runtime.host import Context
from services.trace.app import TOPICS, Trace
from services.trace.config import Database, TraceConfig
from services.trace.index import Index

PREFIX = "GATEPOST_TRACE_"
GATHER = 0.25  # seconds; what happened is to be seen within two


async def serve(ctx: Context) -> None:
    """Write down what happens until `ctx.stop`."""
    config = load(TraceConfig, ctx.environ, PREFIX)
    index = await Index.open(load(Database, ctx.environ).database)
    trace = Trace(config, index, ctx.clock)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(trace.forget(ctx.stop), name="trace-forget")
            await ctx.consume("trace", "trace", TOPICS, trace, max_in_flight=4 * config.batch, gather=GATHER)
    finally:
        await trace.close()
        await index.close()
