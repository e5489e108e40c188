"""Tells users what was decided of what they asked for. For the administrators' console: users' has no such tables."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from sqlalchemy import Row, delete, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.book import Author, Book, Change
from services.console.looks import looking
from services.console.users.people import seen_by
from services.console.users.tables import WISHES
from services.quarantine.index import Rows, fetch, rows_of
from services.quarantine.tables import HELD, WAITING

ANSWERED: Final = "wish-answered"  # the kind of the mail
LOOK: Final = 20.0  # seconds between looks at what was decided
AT_ONCE: Final = 500  # wishes that one look answers
KEPT: Final = 45 * 86_400.0  # seconds: longer than anything is held


class Answers:
    """Looks what became of what was asked for, whoever has decided it and by whichever way."""

    def __init__(self, book: Book) -> None:
        self._book = book

    async def run(self, stop: asyncio.Event) -> None:
        """Look every now and then, until `stop`."""
        await looking(stop, LOOK, self.tell_due, "answers-put-off")

    async def tell_due(self) -> int:
        """Order the mails about what is decided by now, and return how many wishes that ended."""
        done = 0
        ended = exists().where(HELD.c.id == WISHES.c.message, HELD.c.customer == WISHES.c.customer, HELD.c.waits == 0)
        async with self._book.database.writing() as connection:
            # Of what the index has forgotten nothing can be told any more.
            await connection.execute(delete(WISHES).where(WISHES.c.made_at < self._book.clock.now() - KEPT))
            due = (
                await connection.execute(select(WISHES).where(ended).order_by(WISHES.c.made_at).limit(AT_ONCE))
            ).all()
        for wish in due:
            async with self._book.change(Author("console")) as change:
                done += await self._tell(change, wish)
        return done

    @staticmethod
    async def _tell(change: Change, wish: Row[Any]) -> bool:
        await change.hold(wish.customer)  # another process may be at it
        mine = (WISHES.c.user == wish.user, WISHES.c.message == wish.message)
        if await change.connection.scalar(select(WISHES.c.message).where(*mine)) is None:
            return False
        rows = await held_for(change.connection, wish.customer, wish.user, wish.message)
        if any(row.state in WAITING for row in rows):
            return False
        await change.connection.execute(delete(WISHES).where(*mine))
        await change.mail(ANSWERED, wish.user, message=wish.message)
        await change.note(wish.customer, "release-answered", wish.message)
        return True


async def held_for(connection: AsyncConnection, customer: str, user: str, message: str) -> Rows:
    """Return what was held of the message for the user's addresses."""
    his = {address.lower() for address in await seen_by(connection, customer, user)}
    asked = rows_of().where(HELD.c.customer == customer, HELD.c.id == message).order_by(HELD.c.recipient)
    return [row for row in await fetch(connection, asked) if row.recipient.lower() in his]
