"""What users ask for and may not release is written down, and those who decide are told of it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, insert, select

from services.console.accounts import limits_of
from services.console.book import Book
from services.console.roles import Role
from services.console.tables import ACCOUNTS, AUDIT
from services.console.users.signin import User
from services.console.users.tables import WISHES
from services.core.ids import message_id

EVERY: Final = 3_600.0  # seconds between two mails to those who decide
WANTED: Final = "wanted"  # the kind of their mail
TOLD: Final = "release-asked-told"
DECIDE: Final = (Role.OWNER.value, Role.ADMINISTRATOR.value, Role.HELPDESK.value)


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
