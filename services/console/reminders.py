"""Tells owners and administrators that their licence or trial is about to end. Once for each term, whoever looks."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.book import Author, Book
from services.console.licence import Standing, warning_due
from services.console.roles import Role
from services.console.tables import ACCOUNTS, AUDIT, CUSTOMERS
from services.core.errors import DatabaseUnavailable
from services.core.waiting import happens

log = logging.getLogger("gatepost.console")

EVERY: Final = 3_600.0  # seconds between looks
WHAT: Final = "licence-warned"
TOLD: Final = (Role.OWNER.value, Role.ADMINISTRATOR.value)


class Reminders:
    """Looks, and orders mails."""

    def __init__(self, book: Book) -> None:
        self._book = book

    async def run(self, stop: asyncio.Event) -> None:
        """Look every now and then, until `stop`."""
        while not await happens(stop, EVERY):
            try:
                await self.send_due()
            except DatabaseUnavailable as error:
                log.warning("event=reminders-put-off error=%s", error)

    async def send_due(self) -> int:
        """Order what is due now, and return for how many customers that was."""
        async with self._book.reading() as connection:
            rows = (await connection.execute(select(CUSTOMERS).order_by(CUSTOMERS.c.id))).all()
            due = [row for row in rows if await self._due(connection, row) is not None]
        for row in due:
            await self._tell(row)
        return len(due)

    async def _due(self, connection: AsyncConnection, row: Row[Any]) -> int | None:
        """Return the term that is to be told of now. The audit log remembers which were, of this end."""
        standing = Standing(row.trial_until, row.paid_until)
        told = select(AUDIT.c.subject).where(
            AUDIT.c.customer == row.id, AUDIT.c.what == WHAT, AUDIT.c.subject.like(f"{standing.end:.0f}:%")
        )
        terms = [int(subject.partition(":")[2]) for (subject,) in await connection.execute(told)]
        return warning_due(standing, self._book.clock.now(), min(terms) if terms else None)

    async def _tell(self, row: Row[Any]) -> None:
        async with self._book.change(Author("console")) as change:
            if not await change.hold(row.id):
                return
            term = await self._due(change.connection, row)  # another process may have been faster
            if term is None:
                return
            people = select(ACCOUNTS.c.id).where(
                ACCOUNTS.c.customer == row.id, ACCOUNTS.c.role.in_(TOLD), ACCOUNTS.c.closed_at == 0
            )
            for (account,) in (await change.connection.execute(people)).all():
                await change.mail("licence", account)
            end = Standing(row.trial_until, row.paid_until).end
            await change.note(row.id, WHAT, f"{end:.0f}:{term}")
