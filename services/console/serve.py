"""The console as a unit of a process: the pages with their API, and the outbox."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from services.console.book import Book
from services.console.census import Census
from services.console.config import PREFIX, ConsoleConfig, Neighbours
from services.console.credentials import Passwords
from services.console.depths import Depths
from services.console.desk import Desk, make_desk
from services.console.directories import Ports
from services.console.domains import Surroundings
from services.console.held_reading import Reader
from services.console.outbox import Outbox
from services.console.post import MailPath
from services.console.purge import OfQuarantine, OfSigning, OfTopics, OfTrace, Owner, Purges
from services.console.queues import QueueView, follow_queues
from services.console.reminders import Reminders
from services.console.report_mail import ReportMails
from services.console.reports import Reporter, Scheduler
from services.console.rooms import make_console
from services.console.second import Seconds
from services.console.secrets import Keeper, users_keeper
from services.console.signin import SignIn
from services.console.signon import UsersPlace
from services.console.users.answers import Answers
from services.console.users.config import PREFIX as USERS_PREFIX
from services.console.users.config import UsersConfig
from services.console.users.directory import Asked, DirectoryService, NoDirectory
from services.console.users.held import Http
from services.console.users.readings import Readings
from services.core.errors import DatabaseUnavailable
from services.core.secrets import Purpose
from services.directory.config import DirectoryConfig
from services.directory.ldap import LdapReader
from services.quarantine.api.serve import listening, server_of
from services.quarantine.index import Index as Quarantine
from services.quarantine.keyring import Keyring
from services.quarantine.migrate import FOLDER as QUARANTINE
from services.runtime.config import load
from services.runtime.console_key import open_secrets
from services.runtime.database import database_url
from services.runtime.dkim_keys import NAME, DkimConfig, DkimKeys
from services.runtime.dns import Resolver
from services.runtime.follow import follow_senders
from services.runtime.host import Context
from services.runtime.migrate import migrate
from services.runtime.neighbours import watch_database
from services.runtime.secret_key import given_key
from services.runtime.users_key import UsersKey
from services.trace.config import TraceConfig
from services.trace.index import Index
from services.trace.serve import PREFIX as TRACE_PREFIX

log = logging.getLogger("gatepost.console")

TRY_SECONDS: Final = 60.0  # in which a directory that is tried on a page must have been read


async def serve(ctx: Context) -> None:
    """Answer, and publish what is written, until `ctx.stop`."""
    config, around = load(ConsoleConfig, ctx.environ, PREFIX), load(Neighbours, ctx.environ)
    async with contextlib.AsyncExitStack() as stack:
        book = await Book.open(around.database, ctx.clock, config.keep_days)
        stack.push_async_callback(book.close)
        await migrate(database_url(around.database), QUARANTINE)  # whichever of the two services is up first
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
        # Nobody waits for the lists of senders: pages fill as they come.
        senders = follow_senders(ctx.bus, surroundings.senders, asyncio.Event())
        await stack.enter_async_context(following(senders, "console-senders"))
        users, key = load(UsersConfig, ctx.environ, USERS_PREFIX), load(UsersKey, ctx.environ).master()
        directory: Asked = NoDirectory()
        reader: Reader | None = None
        if key is not None:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            directory = DirectoryService(users.directory, key, session, ctx.clock)
            reader = Reader(key, Http(users.api, session), ctx.clock)
        reading = msgspec.structs.replace(load(DirectoryConfig, ctx.environ), directory_read_seconds=TRY_SECONDS)
        ports = Ports(
            bus=ctx.bus,
            reader=LdapReader(reading, ctx.environ, ctx.clock),
            keeper=Keeper(secrets, Purpose.DIRECTORY),
            private=config.private_directories,
        )
        waiting = QueueView()
        desk = make_desk(
            book,
            signin,
            surroundings,
            trace,
            around.licences(),
            ports,
            directory,
            _keys(ctx),
            waiting=waiting,
            secrets=secrets,
            reader=reader,
            users=UsersPlace(users.base, users_keeper(key)),
        )
        reports = ReportMails(book, Reporter(trace, config.promise_seconds), config.base)
        post = MailPath(book, signin, ctx.store, ctx.bus, config, around.hostname, reports, users=users.base)
        outbox = Outbox(book, ctx.bus, post)
        await ctx.directory_ready()
        await stack.enter_async_context(following(follow_queues(ctx.bus, waiting), "console-queues"))
        await stack.enter_async_context(following(watch_database(book.database, ctx.health), "console-database"))
        async with _emptied(outbox):
            jobs: list[Job] = [
                outbox,
                Reminders(book, purges=config.purge),
                Census(book, ctx.bus),
                Scheduler(book),
                Answers(book),
            ]
            jobs.append(Depths(book, waiting, load(TraceConfig, ctx.environ, TRACE_PREFIX).tally_days))
            if key is not None:
                jobs.append(Readings(book, desk.users))
            if config.purge:
                jobs.append(await _purges(ctx, book, trace, around, stack))
            await _answer(ctx, config, desk, jobs)


def _keys(ctx: Context) -> DkimKeys | None:
    config = load(DkimConfig, ctx.environ)
    master = given_key(NAME, config.dkim_key, config.dkim_key_file)
    return None if master is None else DkimKeys(ctx.store, master, ctx.clock, os.urandom)


class Job(Protocol):
    """What goes on beside the pages."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`."""
        ...


async def _purges(
    ctx: Context, book: Book, trace: Index, around: Neighbours, stack: contextlib.AsyncExitStack
) -> Purges:
    quarantine = await Quarantine.open(around.database)
    stack.push_async_callback(quarantine.close)
    keys = Keyring(quarantine.database, ctx.store, b"", ctx.clock, os.urandom)  # to destroy: it opens nothing
    owners: list[Owner] = [
        OfQuarantine(quarantine, ctx.store, ctx.bus, keys),
        OfTopics(ctx.bus),
        OfTrace(trace),
        OfSigning(ctx.store),
    ]
    return Purges(book, owners, open_secrets(ctx.environ), around.hostname)


async def _answer(ctx: Context, config: ConsoleConfig, desk: Desk, jobs: Sequence[Job]) -> None:
    with listening(config.host, config.port) as listener:
        server = server_of(make_console(desk, config, ctx.clock))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([listener]), name="console-server")
            for job in jobs:
                tasks.create_task(job.run(ctx.stop), name=f"console-{type(job).__name__.lower()}")
            ctx.ready("console")  # it listens already: who comes now waits a moment at most
            await ctx.stop.wait()
            server.should_exit = True


@contextlib.asynccontextmanager
async def following(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Have the work done beside the block, and end it with the block."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


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
