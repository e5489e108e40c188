"""Tells owners and administrators what is about to end: licence or trial, then the grace, then their data.

Once for each term, whoever looks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.book import Author, Book
from services.console.licence import LAPSE_DAYS, PURGE_DAYS, WARN_DAYS, due_before
from services.console.looks import looking
from services.console.roles import Role
from services.console.tables import ACCOUNTS, AUDIT, CUSTOMERS

log = logging.getLogger("gatepost.console")

EVERY: Final = 3_600.0  # seconds between looks
WHAT: Final = "licence-warned"
TOLD: Final = (Role.OWNER.value, Role.ADMINISTRATOR.value)


class Reminders:
    """Looks, and orders mails."""

    def __init__(self, book: Book, *, purges: bool = False) -> None:
        """`purges`: data is deleted when its time comes, so people are told of that too."""
        self._book = book
        self._purges = purges

    async def run(self, stop: asyncio.Event) -> None:
        """Look every now and then, until `stop`."""
        await looking(stop, EVERY, self.send_due, "reminders-put-off")

    async def send_due(self) -> int:
        """Order what is due now, and return for how many customers that was."""
        async with self._book.reading() as connection:
            rows = (await connection.execute(select(CUSTOMERS).order_by(CUSTOMERS.c.id))).all()
            due = [row for row in rows if await self._due(connection, row)]
        for row in due:
            await self._tell(row)
        return len(due)

    async def _due(self, connection: AsyncConnection, row: Row[Any]) -> tuple[str, str] | None:
        """Return the kind of mail that is due now and what it tells of. The audit log remembers what was told."""
        standing, now = self._book.standing(row), self._book.clock.now()
        stages: list[tuple[str, float, Sequence[int]]] = [
            ("licence", standing.end, WARN_DAYS),
            ("lapse", standing.lapses_at, LAPSE_DAYS),
        ]
        if self._purges:
            stages.append(("purge", standing.purges_at, PURGE_DAYS))
        for kind, end, terms in stages:
            told = select(AUDIT.c.subject).where(
                AUDIT.c.customer == row.id, AUDIT.c.what == WHAT, AUDIT.c.subject.like(f"{end:.0f}:%")
            )
            known = [int(subject.partition(":")[2]) for (subject,) in await connection.execute(told)]
            term = due_before(end, terms, now, min(known) if known else None)
            if term is not None:
                return kind, f"{end:.0f}:{term}"
            if now < end:
                return None
        return None

    async def _tell(self, row: Row[Any]) -> None:
        async with self._book.change(Author("console")) as change:
            if not await change.hold(row.id):
                return
            due = await self._due(change.connection, row)  # another process may have been faster
            if due is None:
                return
            kind, subject = due
            people = select(ACCOUNTS.c.id).where(
                ACCOUNTS.c.customer == row.id, ACCOUNTS.c.role.in_(TOLD), ACCOUNTS.c.closed_at == 0
            )
            for (account,) in (await change.connection.execute(people)).all():
                await change.mail(kind, account)
            await change.note(row.id, WHAT, subject)
