"""Signing up for a trial, where the operator lets anybody: a form, a mail, and then a customer.

Nothing is made before the link in the mail was used: who types in another's address makes no customer of him. A known
address gets the same answer, and a mail that leads to the account that there is.
"""

from __future__ import annotations

import os
import re
from typing import Final

from sqlalchemy import delete, insert, select

from schemas.events import Customer, Trial
from services.console import models, strangers
from services.console.accounts import add_account
from services.console.book import Author, Book
from services.console.caller import NotFound, Refused
from services.console.config import ConsoleConfig
from services.console.customers import insert_customer
from services.console.roles import Role
from services.console.signin import SignIn, canonical
from services.console.tables import ACCOUNTS, SIGNUPS
from services.console.throttle import Throttle

BY_CLIENT: Final = 5  # sign-ups of one address in a quarter of an hour
BY_ADDRESS: Final = 2
_UNFIT: Final = re.compile(r"[^a-z0-9]+")
_NAME_MOST: Final = 40  # characters of an id that come from the name


class SignUp:
    """The way in of somebody who wasn't invited. Every method raises NotFound where nobody may sign up."""

    def __init__(self, book: Book, signin: SignIn, config: ConsoleConfig) -> None:
        self._book = book
        self._signin = signin
        self._config = config
        self._asked = Throttle("signup", book.clock, by_client=BY_CLIENT, by_subject=BY_ADDRESS)
        self._links = Throttle("signup link", book.clock)

    async def ask(self, body: models.NewTrial, client: str) -> None:
        """Send a link to the address. Whether it is known, and whether it had to wait, nobody is told."""
        self._open()
        address = canonical(body.address)
        region = body.region or self._config.regions[0]
        if region not in self._config.regions:
            raise Refused("region.unknown", regions=", ".join(self._config.regions))
        async with self._book.change(Author(address, client)) as change:
            waits = await self._asked.waits(change.connection, client, address)
            await self._asked.note(change.connection, client, address)
            if waits:
                return
            old = delete(SIGNUPS).where(SIGNUPS.c.expires_at <= change.now)
            await change.connection.execute(old)
            account = (await change.connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.address == address))).first()
            if account is not None:
                if not account.closed_at:
                    await change.mail("reset" if account.password else "activate", account.id)
                    await change.note(account.customer, "password-link-asked", address)
                return
            identity = change.new_id()
            row = {
                "id": identity,
                "hash": b"",
                "customer": _id_of(body.name),
                "name": body.name.strip(),
                "address": address,
                "region": region,
                "language": body.language,
                "expires_at": change.now + strangers.LINK_SECONDS,
                "used_at": 0.0,
            }
            await change.connection.execute(insert(SIGNUPS), [row])
            await change.mail(strangers.SIGNUP, identity)
            await change.note("", "signed-up", address)

    async def look(self, text: str, client: str) -> str | None:
        """Return the address that the link is good for, None when it is good for none."""
        self._open()
        async with self._book.database.writing() as connection:
            row = await self._links.found(
                connection, client, lambda c: strangers.linked(c, SIGNUPS, text, self._book.clock.now())
            )
        return None if row is None else str(row.address)

    async def begin(self, text: str, client: str) -> str:
        """Use the link up, make the customer and its owner, and return a link to choose a password by.

        Raises Refused for a link that is good for nothing, or when there is an account by now.
        """
        if await self.look(text, client) is None:
            raise Refused("link.bad")
        async with self._book.change(Author("sign-up", client)) as change:
            row = await strangers.linked(change.connection, SIGNUPS, text, change.now)
            if row is None or not await strangers.use(change.connection, SIGNUPS, row.id, change.now):
                raise Refused("link.bad")
            event = Customer(id=row.customer, name=row.name, trial=Trial(hourly=self._config.trial_hourly))
            await insert_customer(change, self._config, event, row.region, row.language)
            await change.publish(row.customer)
            await change.note(row.customer, "customer-added", row.customer, after={"name": row.name, "by": "sign-up"})
            owner = models.NewAccount(address=row.address, role=Role.OWNER, language=row.language)
            account = await add_account(change, row.customer, owner, invited=False)
            return await self._signin.make_link(change.connection, account, "activate", change.new_id())

    def _open(self) -> None:
        if not self._config.signup:
            raise NotFound("sign-up")


def _id_of(name: str) -> str:
    """Return a new id that begins as the name does. Its end is chance: it says nothing of who else is here."""
    plain = _UNFIT.sub("-", name.casefold()).strip("-")[:_NAME_MOST].strip("-")
    return f"{plain or 'trial'}-{os.urandom(4).hex()}"
