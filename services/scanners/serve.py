"""The scanners as a unit of a process: one consumer group each, one pool of workers for all of them."""

from __future__ import annotations

import asyncio

from schemas.catalog import RECEIVED, RESCANS
from services.core.contacts import Contacts
from services.runtime.follow import follow_contacts
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
        contacts, briefings = Contacts(), Briefings(ctx.directory.customer)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow_contacts(ctx.bus, contacts), name="follow-contacts")
            units = services(config, config.scanners, pool, briefings, ctx.clock, contacts)
            for service in units.values():
                work = ctx.consume(service.group, service.group, (RECEIVED, RESCANS), service)
                tasks.create_task(work, name=service.group)
            waiting = tasks.create_task(_say_ready(ctx, list(units.values())), name="scanners-ready")
            await ctx.stop.wait()
            waiting.cancel()
            following.cancel()
    finally:
        await pool.close()


async def _say_ready(ctx: Context, units: list[ScannerService]) -> None:
    await asyncio.gather(*(service.joined.wait() for service in units))
    ctx.ready("scanners")
