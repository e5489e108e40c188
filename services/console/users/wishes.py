"""What users ask for and may not release: those who decide are told of it, and the users of what was decided."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from sqlalchemy import Row, delete, exists, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.accounts import limits_of
from services.console.book import Author, Book, Change
from services.console.looks import looking
from services.console.roles import Role
from services.console.tables import ACCOUNTS, AUDIT
from services.console.users.people import seen_by
from services.console.users.signin import User
from services.console.users.tables import WISHES
from services.core.ids import message_id
from services.quarantine.index import Rows, fetch, rows_of
from services.quarantine.tables import HELD, WAITING

EVERY: Final = 3_600.0  # seconds between two mails to those who decide
WANTED: Final = "wanted"  # the kind of their mail
ANSWERED: Final = "wish-answered"  # and of the users'
TOLD: Final = "release-asked-told"
DECIDE: Final = (Role.OWNER.value, Role.ADMINISTRATOR.value, Role.HELPDESK.value)
LOOK: Final = 20.0  # seconds between looks at what was decided
AT_ONCE: Final = 500  # wishes that one look answers
KEPT: Final = 45 * 86_400.0  # seconds: longer than anything is held


class Wishes:
    """Writes down what was asked for, and orders the mails. Raises DatabaseUnavailable."""

    def __init__(self, book: Book) -> None:
        self._book = book

    async def asked(self, user: User, message: str) -> None:
        """Note that the user asks for the message. Who decides is told once an hour, whatever is asked for."""
        async with self._book.change(user.author) as change:
            await change.hold(user.customer)
            await change.note(user.customer, "release-asked", message)
            mine = (WISHES.c.user == user.id, WISHES.c.message == message)
            await change.connection.execute(delete(WISHES).where(*mine))
            row = {"user": user.id, "message": message, "customer": user.customer, "made_at": change.now}
            await change.connection.execute(insert(WISHES), [row])
            since = message_id(change.now - EVERY, bytes)  # ids begin with their time, and the index is of them
            told = select(AUDIT.c.id).where(AUDIT.c.customer == user.customer, AUDIT.c.id > since, AUDIT.c.what == TOLD)
            if await change.connection.scalar(told.limit(1)) is not None:
                return
            people = select(ACCOUNTS).where(
                ACCOUNTS.c.customer == user.customer, ACCOUNTS.c.role.in_(DECIDE), ACCOUNTS.c.closed_at == 0
            )
            his = {address.rpartition("@")[2] for address in user.addresses}
            for account in (await change.connection.execute(people)).all():
                limits = limits_of(account)
                if limits is None or limits & his:  # of another domain's mail he sees nothing
                    await change.mail(WANTED, account.id)
            await change.note(user.customer, TOLD, message)


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
