"""Shadows as a unit of a process: GATEPOST_SHADOW names them, each is a consumer group of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from schemas.catalog import RECEIVED
from services.core.contacts import Contacts
from services.core.errors import ConfigError
from services.runtime.config import load
from services.runtime.follow import follow_contacts
from services.runtime.host import Context
from services.scanners import config as settings
from services.scanners.app import ScannerService
from services.scanners.briefing import Briefings
from services.scanners.candidates import candidates
from services.scanners.contract import Port
from services.scanners.pool import Pool
from services.scanners.shadow.app import ShadowService


class ShadowConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Which scanners look on."""

    shadow: tuple[str, ...] = ()  # NAME or NAME@FOLDER of rules, one folder at most


async def serve(ctx: Context) -> None:
    """Look on until `ctx.stop`; raise ConfigError when nobody is named."""
    names, folder = candidates("GATEPOST_SHADOW", load(ShadowConfig, ctx.environ).shadow)
    if not names:
        raise ConfigError("GATEPOST_SHADOW names no scanner")
    config = msgspec.structs.replace(settings.read(ctx.environ), scanners=names)
    if folder:
        config = msgspec.structs.replace(config, yara_dir=folder)
    pool = Pool(config, names)
    await pool.start()
    try:
        await ctx.directory_ready()
        contacts, briefings = Contacts(), Briefings(ctx.directory.customer)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow_contacts(ctx.bus, contacts), name="follow-contacts")
            for name, spec in pool.specs.items():
                told = f"{name}@{Path(folder).name}" if folder and Port.SIGNATURES in spec.ports else name
                service = ShadowService(told, ScannerService(spec, pool, briefings, ctx.clock, contacts))
                work = ctx.consume(service.group, service.group, (RECEIVED,), service)
                tasks.create_task(work, name=service.group)
            ctx.ready("shadow")  # nothing waits for a shadow: that it is started is all
            await ctx.stop.wait()
            following.cancel()
    finally:
        await pool.close()
