"""What `gatepost console` does: at the database, as an operator of the machine may. The console publishes it."""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import AsyncIterator

from sqlalchemy import insert, select

from schemas.catalog import CUSTOMERS, Topic
from services.cli.site import Site
from services.console.book import Author, Book
from services.console.caller import NotFound, Refused
from services.console.config import PREFIX, ConsoleConfig
from services.console.credentials import Passwords
from services.console.customers import Customers, spec_of
from services.console.export import to_yaml
from services.console.roles import Role
from services.console.second import forget_factors
from services.console.signin import SignIn, canonical
from services.console.tables import ACCOUNTS
from services.console.tables import CUSTOMERS as ROWS
from services.console.texts import text
from services.core.clock import SystemClock
from services.core.customers import CustomerSpec
from services.core.directory import Directory
from services.core.errors import ConfigError
from services.runtime.config import load
from services.runtime.kafka import KafkaBus


@contextlib.asynccontextmanager
async def _book(site: Site) -> AsyncIterator[Book]:
    book = await Book.open(site.database, SystemClock())
    try:
        yield book
    except Refused as error:
        raise ConfigError(text(error.key, "en", **error.values)) from error
    finally:
        await book.close()


def _author() -> Author:
    return Author(f"{getpass.getuser()} (command line)")


async def operator(site: Site, address: str, language: str, *, reset_factors: bool = False) -> str:
    """Make an operator, or find the one that there is, and return a link with which to choose a password.

    `reset_factors`: take his second factors away.
    """
    config = load(ConsoleConfig, os.environ, PREFIX)
    async with _book(site) as book:
        signin = SignIn(book, Passwords(), by_client=1, by_subject=1)
        name = canonical(address)
        async with book.change(_author()) as change:
            asked = select(ACCOUNTS).where(ACCOUNTS.c.address == name)
            row = (await change.connection.execute(asked)).first()
            if row is not None and row.role != Role.OPERATOR.value:
                raise ConfigError(f"{name} is an account of {row.customer}")
            account = row.id if row is not None else change.new_id()
            if row is None:
                made = {
                    "id": account,
                    "customer": "",
                    "address": name,
                    "name": "",
                    "role": Role.OPERATOR.value,
                    "language": language,
                    "password": "",
                    "made_at": change.now,
                    "closed_at": 0.0,
                }
                await change.connection.execute(insert(ACCOUNTS), [made])
            if reset_factors:
                await forget_factors(change, account)
                await change.note("", "second-factors-reset", name)
            link = await signin.make_link(change.connection, account, "reset", change.new_id())
            await change.note("", "operator-link-made", name)
    return f"{config.base}/link/{link}"


async def take_in(site: Site, specs: list[CustomerSpec]) -> str:
    """Import the customers and return what a person should read; the console publishes them within seconds."""
    config = load(ConsoleConfig, os.environ, PREFIX)
    bus = KafkaBus(site.kafka, "gatepost-console")
    try:
        directory = Directory()
        await _read(bus, CUSTOMERS, directory)
    finally:
        await bus.close()
    async with _book(site) as book:
        changed = await Customers(book, config, directory).take_in(specs, _author())
    return f"{len(specs)} customers, {changed} changed; the console publishes them"


async def _read(bus: KafkaBus, topic: Topic, directory: Directory) -> None:
    async for record in bus.read(topic):
        if record.event is None:
            directory.remove(topic.struct, record.key)
        else:
            directory.apply(record.event)


async def export(site: Site, customers: tuple[str, ...]) -> str:
    """Return the customers file of these, or of all; raise ConfigError for one that the console doesn't keep."""
    async with _book(site) as book, book.reading() as connection:
        names = customers or tuple(name for (name,) in await connection.execute(select(ROWS.c.id).order_by(ROWS.c.id)))
        try:
            return to_yaml([await spec_of(connection, name) for name in names])
        except NotFound as error:
            raise ConfigError(f"the console keeps no customer {error}") from error
