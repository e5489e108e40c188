"""A customer's licence: looked at, and renewed by a key."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import update

from services.console import models
from services.console.book import Book
from services.console.caller import Caller, NotFound, Refused, allowed
from services.console.customers import found, licence_of
from services.console.licence import BadLicence, Standing, accept, read
from services.console.roles import Act
from services.console.tables import CUSTOMERS


class Licences:
    """Operations on licences."""

    def __init__(self, book: Book, key: Ed25519PublicKey | None) -> None:
        """`key` is what registration keys are checked with; None: none is taken here."""
        self.book = book
        self._key = key

    @allowed(Act.LICENCE_SHOW, limited=True)
    async def licence(self, caller: Caller, customer: str) -> models.Licence:  # noqa: ARG002 - `allowed` reads it
        """Where the customer stands."""
        async with self.book.reading() as connection:
            return licence_of(await found(connection, customer), self.book.clock.now())

    @allowed(Act.LICENCE_CHANGE)
    async def renew(self, caller: Caller, customer: str, body: models.LicenceKey) -> models.Licence:
        """Take a registration key: from now on the licence is what it says, and every setting stays."""
        if self._key is None:
            raise Refused("licence.none-taken")
        now = self.book.clock.now()
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            row = await found(change.connection, customer)
            try:
                terms = read(self._key, body.key)
                standing = accept(terms, customer, Standing(row.trial_until, row.paid_until), now)
            except BadLicence as error:
                raise Refused("licence.bad", reason=str(error)) from error
            values = {"paid_until": standing.paid_until, "users": terms.users, "licence": terms.id}
            await change.connection.execute(update(CUSTOMERS).where(CUSTOMERS.c.id == customer).values(**values))
            before = {"paid_until": row.paid_until, "users": row.users, "licence": row.licence}
            await change.note(customer, "licence-renewed", terms.id, before=before, after=values)
            return licence_of(await found(change.connection, customer), now)
