"""The console as a unit of a process: the pages with their API, and the outbox."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator

import aiohttp

from services.console.book import Book
from services.console.config import PREFIX, ConsoleConfig, Neighbours
from services.console.credentials import Passwords
from services.console.desk import Desk, make_desk
from services.console.domains import Surroundings
from services.console.outbox import Outbox
from services.console.post import MailPath
from services.console.reminders import Reminders
from services.console.rooms import make_console
from services.console.second import Seconds
from services.console.secrets import Keeper
from services.console.signin import SignIn
from services.console.users.config import PREFIX as USERS_PREFIX
from services.console.users.config import UsersConfig
from services.console.users.directory import Asked, DirectoryService, NoDirectory
from services.console.users.readings import Readings
from services.core.errors import DatabaseUnavailable
from services.core.secrets import Purpose
from services.core.senders import Senders
from services.quarantine.api.serve import listening, server_of
from services.runtime.config import load
from services.runtime.console_key import open_secrets
from services.runtime.dkim_keys import NAME, DkimConfig, DkimKeys
from services.runtime.dns import Resolver
from services.runtime.follow import follow_senders
from services.runtime.host import Context
from services.runtime.secret_key import given_key
from services.runtime.users_key import UsersKey
from services.trace.index import Index

log = logging.getLogger("gatepost.console")


async def serve(ctx: Context) -> None:
    """Answer, and publish what is written, until `ctx.stop`."""
    config, around = load(ConsoleConfig, ctx.environ, PREFIX), load(Neighbours, ctx.environ)
    async with contextlib.AsyncExitStack() as stack:
        book = await Book.open(around.database, ctx.clock)
        stack.push_async_callback(book.close)
        trace = await Index.open(around.database)
        stack.push_async_callback(trace.close)
        secrets = open_secrets(ctx.environ)
        signin = SignIn(
            book,
            Passwords(),
            by_client=config.failures_by_client,
            by_subject=config.failures_by_account,
            seconds=Seconds(Keeper(secrets, Purpose.SECOND_FACTOR)),
            operators_factor=config.operators_second_factor,
        )
        surroundings = Surroundings(
            config=config,
            hostname=around.hostname,
            directory=ctx.directory,
            resolver=lambda: Resolver(around.dns, ctx.clock),
        )
        await stack.enter_async_context(_following(ctx, surroundings.senders))
        users, key = load(UsersConfig, ctx.environ, USERS_PREFIX), load(UsersKey, ctx.environ).master()
        directory: Asked = NoDirectory()
        if key is not None:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            directory = DirectoryService(users.directory, key, session, ctx.clock)
        desk = make_desk(book, signin, surroundings, trace, around.licences(), directory, _keys(ctx), secrets=secrets)
        post = MailPath(book, signin, ctx.store, ctx.bus, config, around.hostname, users=users.base)
        outbox = Outbox(book, ctx.bus, post)
        await ctx.directory_ready()
        async with _emptied(outbox):
            readings = None if key is None else Readings(book, desk.users)
            await _answer(ctx, config, desk, outbox, Reminders(book), readings)


def _keys(ctx: Context) -> DkimKeys | None:
    config = load(DkimConfig, ctx.environ)
    master = given_key(NAME, config.dkim_key, config.dkim_key_file)
    return None if master is None else DkimKeys(ctx.store, master, ctx.clock, os.urandom)


async def _answer(
    ctx: Context,
    config: ConsoleConfig,
    desk: Desk,
    outbox: Outbox,
    reminders: Reminders,
    readings: Readings | None,
) -> None:
    with listening(config.host, config.port) as listener:
        server = server_of(make_console(desk, config, ctx.clock))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([listener]), name="console-server")
            tasks.create_task(outbox.run(ctx.stop), name="console-outbox")
            tasks.create_task(reminders.run(ctx.stop), name="console-reminders")
            if readings is not None:
                tasks.create_task(readings.run(ctx.stop), name="console-readings")
            ctx.ready("console")  # it listens already: who comes now waits a moment at most
            await ctx.stop.wait()
            server.should_exit = True


@contextlib.asynccontextmanager
async def _following(ctx: Context, senders: Senders) -> AsyncIterator[None]:
    """Keep the lists of senders as the topic has them. Nobody waits for them: pages fill as they come."""
    following = asyncio.create_task(follow_senders(ctx.bus, senders, asyncio.Event()), name="console-senders")
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@contextlib.asynccontextmanager
async def _emptied(outbox: Outbox) -> AsyncIterator[None]:
    """Let another process have its turn at the outbox when this one has ended."""
    try:
        yield
    finally:
        try:
            await outbox.release()
        except DatabaseUnavailable as error:
            log.warning("event=lease-kept error=%s", error)
