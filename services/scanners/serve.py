"""The scanners as a unit of a process: one consumer group each, one pool of workers for all of them."""

from __future__ import annotations

import asyncio

from schemas.catalog import RECEIVED, RESCANS
from services.runtime.host import Context
from services.scanners import config as settings
from services.scanners.app import ScannerService, services
from services.scanners.briefing import Briefings
from services.scanners.pool import Pool


async def serve(ctx: Context) -> None:
    """Scan until `ctx.stop`."""
    config = settings.read(ctx.environ)
    pool = Pool(config, config.scanners)
    await pool.start()
    try:
        await ctx.directory_ready()  # a scan that knows nothing of its customer would find too little
        async with asyncio.TaskGroup() as tasks:
            units = services(config, config.scanners, pool, Briefings(ctx.directory.customer), ctx.clock)
            for service in units.values():
                work = ctx.consume(service.group, service.group, (RECEIVED, RESCANS), service)
                tasks.create_task(work, name=service.group)
            waiting = tasks.create_task(_say_ready(ctx, list(units.values())), name="scanners-ready")
            await ctx.stop.wait()
            waiting.cancel()
    finally:
        await pool.close()


async def _say_ready(ctx: Context, units: list[ScannerService]) -> None:
    await asyncio.gather(*(service.joined.wait() for service in units))
    ctx.ready("scanners")
