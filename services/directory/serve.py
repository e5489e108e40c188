"""The directory service as a unit of a process. One is enough for an installation; two only do the work twice."""

from __future__ import annotations

from services.directory.app import Schedule
from services.directory.config import DirectoryConfig
from services.directory.ldap import LdapReader
from services.runtime.config import load
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Sync on schedule until `ctx.stop`."""
    config = load(DirectoryConfig, ctx.environ)
    reader = LdapReader(config, ctx.environ, ctx.clock)
    await ctx.directory_ready()
    ctx.ready("directory")
    await Schedule(config, ctx.bus, reader, ctx.clock, ctx.directory.customers).run(ctx.stop)
