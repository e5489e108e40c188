"""The quarantine as a unit of a process."""

from __future__ import annotations

import asyncio
import os

from schemas.catalog import COMMANDS, DISPOSITIONS, OUTCOMES, RECHECKS, REQUESTS
from services.quarantine.app import Quarantine
from services.quarantine.config import QuarantineConfig
from services.quarantine.digests import Digests
from services.quarantine.index import Index
from services.quarantine.keyring import Keyring
from services.quarantine.master import MasterConfig
from services.quarantine.vault import Vault
from services.runtime.config import load
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Hold, release and expire until `ctx.stop`."""
    config = load(QuarantineConfig, ctx.environ)
    secrets = load(MasterConfig, ctx.environ).secrets()
    index = await Index.open(config.database)
    try:
        keys = Keyring(index.database, ctx.store, secrets.wrapping, ctx.clock, os.urandom)
        vault = Vault(ctx.store, keys, os.urandom)
        quarantine = Quarantine(
            config,
            index,
            ctx.store,
            ctx.bus,
            ctx.directory.customer,
            ctx.clock,
            vault=vault,
            secrets=secrets,
            plan=ctx.directory.plan,
        )
        digests = Digests(config, index.database, ctx.store, ctx.bus, ctx.directory, ctx.clock, secrets.links)
        await ctx.directory_ready()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(quarantine.expire(ctx.stop), name="quarantine-expire")
            tasks.create_task(quarantine.ask_again(ctx.stop), name="quarantine-ask-again")
            tasks.create_task(digests.run(ctx.stop), name="quarantine-digests")
            topics = (DISPOSITIONS, COMMANDS, REQUESTS, RECHECKS, OUTCOMES)
            await ctx.consume("quarantine", "quarantine", topics, quarantine)
    finally:
        await index.close()
