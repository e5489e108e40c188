"""Shadows as a unit of a process: each is a consumer group of its own, all of them share one pool of workers."""

from __future__ import annotations

import asyncio

from schemas.catalog import DEADLETTERS, RECEIVED, SHADOWS
from services.core.contacts import Contacts
from services.core.sent import SentMail
from services.runtime.aside import NarrowBus
from services.runtime.follow import follow_contacts, follow_sent
from services.runtime.host import Context
from services.scanners.app import ScannerService
from services.scanners.briefing import Briefings
from services.scanners.pool import Pool
from services.scanners.shadow import config as settings
from services.scanners.shadow.app import KeptToo, ShadowService


async def serve(ctx: Context) -> None:
    """Look on until `ctx.stop`; raise ConfigError when nobody is named, or what is named can't be had."""
    shadows = settings.read(ctx.environ)
    bus = NarrowBus(ctx.bus, (SHADOWS, DEADLETTERS))
    pool = Pool(shadows.config, tuple(dict.fromkeys(shadows.scanners.values())))
    await pool.start()
    try:
        await ctx.directory_ready()
        contacts, sent, briefings = Contacts(), SentMail(), Briefings(ctx.directory.customer)
        async with asyncio.TaskGroup() as tasks:
            following = (
                tasks.create_task(follow_contacts(ctx.bus, contacts), name="follow-contacts"),
                tasks.create_task(follow_sent(ctx.bus, sent), name="follow-sent"),
            )
            for name, scanner in shadows.scanners.items():
                scans = KeptToo(pool)
                inner = ScannerService(pool.specs[scanner], scans, briefings, ctx.clock, contacts, sent, shadow=name)
                service = ShadowService(name, inner, ctx.clock, shadows.settings[name])
                work = ctx.consume("shadow", service.group, (RECEIVED,), service, bus=bus, from_now=True)
                tasks.create_task(work, name=service.group)
            await ctx.stop.wait()
            for task in following:
                task.cancel()
    finally:
        await pool.close()
