"""Tells those who may decide that a user asks for a held message: once an hour, however many are asked for."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select

from services.console.book import Book
from services.console.roles import Role
from services.console.tables import ACCOUNTS, AUDIT
from services.console.users.signin import User
from services.core.ids import message_id

EVERY: Final = 3_600.0  # seconds between two mails
WANTED: Final = "wanted"  # the kind of mail
TOLD: Final = "release-asked-told"
DECIDE: Final = (Role.OWNER.value, Role.ADMINISTRATOR.value, Role.HELPDESK.value)


class Wishes:
    """Writes down what was asked for, and orders the mails. Raises DatabaseUnavailable."""

    def __init__(self, book: Book) -> None:
        self._book = book

    async def asked(self, user: User, message: str) -> None:
        """Note that the user asks for the message's release."""
        async with self._book.change(user.author) as change:
            await change.hold(user.customer)
            await change.note(user.customer, "release-asked", message)
            since = message_id(change.now - EVERY, bytes)  # ids begin with their time, and the index is of them
            told = select(AUDIT.c.id).where(AUDIT.c.customer == user.customer, AUDIT.c.id > since, AUDIT.c.what == TOLD)
            if await change.connection.scalar(told.limit(1)) is not None:
                return
            people = select(ACCOUNTS.c.id).where(
                ACCOUNTS.c.customer == user.customer, ACCOUNTS.c.role.in_(DECIDE), ACCOUNTS.c.closed_at == 0
            )
            for (account,) in (await change.connection.execute(people)).all():
                await change.mail(WANTED, account)
            await change.note(user.customer, TOLD, message)
