"""How many users a customer has, as its directory says: what a licence is for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from sqlalchemy import delete, insert, select

from schemas.catalog import RECIPIENTS
from schemas.events import Recipient
from services.console.book import Book
from services.console.tables import CENSUS, CUSTOMERS
from services.core.directory import LDAP
from services.core.errors import BusUnavailable, DatabaseUnavailable
from services.core.waiting import happens
from services.runtime.bus import Bus
from services.runtime.latest import latest

log = logging.getLogger("gatepost.console")

EVERY: Final = 3_600.0  # seconds between counts


def users_of(recipients: Iterable[Recipient]) -> dict[str, int]:
    """Return the users of each customer. Costs time in proportion to the recipients: not for the loop when many.

    A user is an entry of a directory, however many addresses it has: aliases are not users. An address that several
    entries have is a list's, and none. Where addresses alone are known (customers file, CSV) each is a user, unless
    it is one of an entry that a directory has.
    """
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while (higher := above.setdefault(name, name)) != name:
            above[name] = name = above[higher]
        return name

    users: dict[str, str] = {}  # who makes up a user → its customer
    for each in recipients:
        address = f"{each.customer}/{each.digest}"
        if each.entry:
            entry = f"{each.customer}/{each.source}/{each.entry}"
            above[top(address)] = top(entry)
            users[entry] = each.customer
        elif not each.source.startswith(LDAP):
            users[address] = each.customer
    counted: dict[str, set[str]] = {}
    for name, customer in users.items():
        counted.setdefault(customer, set()).add(top(name))
    return {customer: len(found) for customer, found in counted.items()}


class Census:
    """Counts now and then, and writes down what it found."""

    def __init__(self, book: Book, bus: Bus) -> None:
        self._book = book
        self._bus = bus

    async def run(self, stop: asyncio.Event) -> None:
        """Count at once, and then every hour until `stop`."""
        while True:
            try:
                await self.count()
            except (BusUnavailable, DatabaseUnavailable) as error:
                log.warning("event=census-put-off error=%s", error)
            if await happens(stop, EVERY):
                return

    async def count(self) -> None:
        """Count everybody's users."""
        found = (await latest(self._bus, RECIPIENTS, Recipient)).values()
        users = await asyncio.to_thread(users_of, list(found))
        async with self._book.database.writing() as connection:
            ids = list(await connection.scalars(select(CUSTOMERS.c.id)))
            await connection.execute(delete(CENSUS))
            rows = [{"customer": each, "users": users.get(each, 0), "at": self._book.clock.now()} for each in ids]
            if rows:
                await connection.execute(insert(CENSUS), rows)
