"""A customer's licence: looked at, and renewed by a key."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select, update

from services.console import models
from services.console.book import Book, settings_of, written
from services.console.caller import Caller, NotFound, Refused, allowed
from services.console.customers import found, licence_of
from services.console.licence import BadLicence, accept, read
from services.console.roles import Act
from services.console.tables import CUSTOMERS, DOMAINS
from services.core.address import parse, parse_domain
from services.core.errors import BadAddress


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
            return licence_of(await found(connection, customer), self.book)

    @allowed(Act.DOMAINS_CHANGE)
    async def limit_trial(self, caller: Caller, customer: str, body: models.TrialScope) -> models.Licence:
        """Say whose mail the trial filters; everybody else's passes untouched."""
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            row = await found(change.connection, customer)
            if row.paid_until:
                raise Refused("trial.over")
            settings = settings_of(row)
            names = set(await change.connection.scalars(select(DOMAINS.c.name).where(DOMAINS.c.customer == customer)))
            recipients = tuple(dict.fromkeys(_scope(each, names) for each in body.recipients))
            trial = msgspec.structs.replace(settings.trial, recipients=recipients)
            text = written(msgspec.structs.replace(settings, trial=trial))
            await change.connection.execute(update(CUSTOMERS).where(CUSTOMERS.c.id == customer).values(settings=text))
            await change.publish(customer)
            before, after = ({"recipients": list(each.recipients)} for each in (settings.trial, trial))
            await change.note(customer, "trial-limited", customer, before=before, after=after)
            return licence_of(await found(change.connection, customer), self.book)

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
                standing = accept(terms, customer, self.book.standing(row), now)
            except BadLicence as error:
                raise Refused("licence.bad", reason=str(error)) from error
            values = {"paid_until": standing.paid_until, "users": terms.users, "licence": terms.id}
            await change.connection.execute(update(CUSTOMERS).where(CUSTOMERS.c.id == customer).values(**values))
            await change.publish(customer)  # delivery puts a notice on mail from the end of what it gives
            before = {"paid_until": row.paid_until, "users": row.users, "licence": row.licence}
            await change.note(customer, "licence-renewed", terms.id, before=before, after=values)
            return licence_of(await found(change.connection, customer), self.book)


def _scope(text: str, domains: Collection[str]) -> str:
    """Return the address or @domain in the form that the mail path compares; raise Refused outside of the domains."""
    bare = text.strip()
    try:
        said = f"@{parse_domain(bare[1:])}" if bare.startswith("@") else str(parse(bare)).casefold()
    except BadAddress as error:
        raise Refused("trial.bad", address=text[:100]) from error
    if said.rpartition("@")[2] not in domains:
        raise Refused("trial.elsewhere", address=text[:100])
    return said
