"""The users' console as a unit of a process: a service of its own, with its own host name, port and cookie."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import aiohttp

from services.console.book import Book
from services.console.config import Neighbours
from services.console.credentials import Passwords
from services.console.outward import Https
from services.console.secrets import users_keeper
from services.console.users.app import UsersDesk, make_users
from services.console.users.config import PREFIX, UsersConfig
from services.console.users.directory import DirectoryService
from services.console.users.held import HeldMail, Http
from services.console.users.signin import UserSignIn
from services.console.users.signon import UserSignOn
from services.console.users.wishes import Wishes
from services.core.errors import ConfigError
from services.quarantine.api.serve import listening, server_of
from services.runtime.config import load
from services.runtime.dns import Resolver
from services.runtime.host import Context
from services.runtime.neighbours import watch_database
from services.runtime.users_key import NAME, UsersKey

log = logging.getLogger("gatepost.users")


async def serve(ctx: Context) -> None:
    """Answer until `ctx.stop`."""
    config, around = load(UsersConfig, ctx.environ, PREFIX), load(Neighbours, ctx.environ)
    key = load(UsersKey, ctx.environ).master()
    if key is None:
        raise ConfigError(f"{NAME} or {NAME}_FILE: must be set; `gatepost quarantine make-key FILE` makes one")
    async with contextlib.AsyncExitStack() as stack:
        book = await Book.open(around.database, ctx.clock)
        stack.push_async_callback(book.close)
        # No cookie of one user's answer may go with another's question.
        session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        signin = UserSignIn(
            book,
            Passwords(),
            ctx.directory,
            DirectoryService(config.directory, key, session, ctx.clock),
            by_client=config.failures_by_client,
            by_subject=config.failures_by_account,
            failure_seconds=config.failure_seconds,
        )
        signon = UserSignOn(
            book,
            signin,
            ctx.directory,
            users_keeper(key),
            config,
            Https(lambda: Resolver(around.dns, ctx.clock), private=config.private_issuers),
        )
        desk = UsersDesk(signin, signon, HeldMail(key, Http(config.api, session), ctx.clock), Wishes(book))
        await ctx.directory_ready()
        with listening(config.host, config.port) as listener:
            server = server_of(make_users(desk, config, ctx.clock))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.serve([listener]), name="users-server")
                watching = tasks.create_task(watch_database(book.database, ctx.health), name="users-database")
                ctx.ready("users")  # it listens already: who comes now waits a moment at most
                await ctx.stop.wait()
                watching.cancel()
                server.should_exit = True
