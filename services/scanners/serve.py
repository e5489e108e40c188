"""The scanners as a unit of a process: a group each, or one for all there are; one pool of workers for all of them."""

from __future__ import annotations

import asyncio

from schemas.catalog import RECEIVED, RESCANS
from services.core.contacts import Contacts
from services.core.sent import SentMail
from services.runtime.follow import follow_contacts, follow_sent
from services.runtime.host import Context
from services.scanners import config as settings
from services.scanners.app import ScannerService, services
from services.scanners.briefing import Briefings
from services.scanners.pool import Pool
from services.scanners.together import GROUP, Together


async def serve(ctx: Context) -> None:
    """Scan until `ctx.stop`."""
    config = settings.read(ctx.environ)
    pool = Pool(config, config.scanners)
    await pool.start()
    try:
        await ctx.directory_ready()  # a scan that knows nothing of its customer would find too little
        contacts, sent, briefings = Contacts(), SentMail(), Briefings(ctx.directory.customer)
        async with asyncio.TaskGroup() as tasks:
            following = (
                tasks.create_task(follow_contacts(ctx.bus, contacts), name="follow-contacts"),
                tasks.create_task(follow_sent(ctx.bus, sent), name="follow-sent"),
            )
            units = services(config, config.scanners, pool, briefings, ctx.clock, contacts, sent)
            members: dict[str, ScannerService | Together] = {unit.group: unit for unit in units.values()}
            if not config.scanners:
                members = {GROUP: Together(tuple(units.values()))}
            for group, service in members.items():
                work = ctx.consume(group, group, (RECEIVED, RESCANS), service)
                tasks.create_task(work, name=group)
            waiting = tasks.create_task(_say_ready(ctx, list(members.values())), name="scanners-ready")
            await ctx.stop.wait()
            waiting.cancel()
            for task in following:
                task.cancel()
    finally:
        await pool.close()


async def _say_ready(ctx: Context, members: list[ScannerService | Together]) -> None:
    await asyncio.gather(*(member.joined.wait() for member in members))
    ctx.ready("scanners")
