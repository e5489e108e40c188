"""Reads users and groups from customers' LDAP directories every hour. Twice, by two processes, ends the same."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sqlalchemy import select

from services.console.book import Author, Book, settings_of
from services.console.caller import NotFound, Refused
from services.console.looks import looking
from services.console.tables import CUSTOMERS
from services.console.users.room import Management

log = logging.getLogger("gatepost.console")

EVERY: Final = 3_600.0  # seconds between readings of one customer's
AGAIN: Final = 300.0  # after one that did not succeed
LOOK: Final = 30.0  # between looks


class Readings:
    """Looks whose turn it is, one after the other."""

    def __init__(self, book: Book, users: Management) -> None:
        self._book = book
        self._users = users
        self._next: dict[str, float] = {}  # by customer, on the monotonic clock

    async def run(self, stop: asyncio.Event) -> None:
        """Read what is due, until `stop`."""
        await looking(stop, LOOK, self.read_due, "users-not-read")

    async def read_due(self) -> int:
        """Read the directories that are due, and return of how many customers that were."""
        async with self._book.reading() as connection:
            rows = (await connection.execute(select(CUSTOMERS).order_by(CUSTOMERS.c.id))).all()
        with_one = [row.id for row in rows if settings_of(row).directory]
        now = self._book.clock.monotonic()
        due = [customer for customer in with_one if now >= self._next.get(customer, 0.0)]
        self._next = {customer: at for customer, at in self._next.items() if customer in with_one}
        for customer in due:
            self._next[customer] = now + (EVERY if await self._read(customer) else AGAIN)
        return len(due)

    async def _read(self, customer: str) -> bool:
        try:
            done = await self._users.read(Author("directory"), customer)
        except (Refused, NotFound) as error:
            log.warning("customer=%s event=users-not-read why=%s", customer, error)
            return False
        log.info(
            "customer=%s event=users-read added=%d changed=%d removed=%d left_out=%d",
            *(customer, done.added, done.changed, done.removed, len(done.left_out)),
        )
        return True
