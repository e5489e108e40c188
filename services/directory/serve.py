"""The directory service as a unit of a process. One is enough for an installation; two only do the work twice."""

from __future__ import annotations

import asyncio

from services.directory.app import Schedule
from services.directory.asking import AskingDesk, answer
from services.directory.config import DirectoryConfig
from services.directory.ldap import LdapReader
from services.directory.people import LdapPeople
from services.runtime.config import load
from services.runtime.host import Context
from services.runtime.users_key import UsersKey


async def serve(ctx: Context) -> None:
    """Sync on schedule until `ctx.stop`."""
    config = load(DirectoryConfig, ctx.environ)
    key = load(UsersKey, ctx.environ).master()
    reader = LdapReader(config, ctx.environ, ctx.clock)
    await ctx.directory_ready()
    ctx.ready("directory")
    async with asyncio.TaskGroup() as tasks:
        if key is not None:
            desk = AskingDesk(key, LdapPeople(reader), ctx.directory.customer, ctx.clock)
            tasks.create_task(answer(desk, config, ctx.stop), name="directory-asking")
        tasks.create_task(Schedule(config, ctx.bus, reader, ctx.clock, ctx.directory.customers).run(ctx.stop))
