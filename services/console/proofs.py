"""Domains that are proved by mail to an address at them, which only who runs the domain reads (RFC 2142).

The mail goes where the domain's MX records say, or by the smarthost, and nowhere else: were it sent to a host that the
claimant names, it would prove that he has a host.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, insert, select

from services.console import models, strangers
from services.console.book import Author, Book
from services.console.caller import Caller, NotFound, Refused, allowed
from services.console.domains import Surroundings, take_domain
from services.console.roles import Act
from services.console.tables import CLAIMS, PROOFS
from services.console.throttle import Throttle

BY_CUSTOMER: Final = 10  # mails that a customer has sent in a quarter of an hour
BY_DOMAIN: Final = 3  # to a domain, whoever asked


class Proofs:
    """Operations on proofs by mail."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._sent = Throttle("proof", book.clock, by_client=BY_CUSTOMER, by_subject=BY_DOMAIN)

    @allowed(Act.DOMAINS_CHANGE)
    async def mail_proof(self, caller: Caller, customer: str, name: str, body: models.ProofMail) -> models.Empty:
        """Send a link to an address at a claimed domain; who uses it proves that the domain is the customer's."""
        address = f"{body.local}@{name}"
        async with self.book.change(caller.author) as change:
            claim = select(CLAIMS.c.name).where(CLAIMS.c.customer == customer, CLAIMS.c.name == name)
            if await change.connection.scalar(claim) is None:
                raise NotFound(name)
            if await self._sent.waits(change.connection, customer, name):
                raise Refused("proof.wait")
            await self._sent.note(change.connection, customer, name)
            await change.connection.execute(delete(PROOFS).where(PROOFS.c.expires_at <= change.now))
            row = {
                "id": change.new_id(),
                "hash": b"",
                "customer": customer,
                "domain": name,
                "address": address,
                "expires_at": change.now + strangers.LINK_SECONDS,
                "used_at": 0.0,
            }
            await change.connection.execute(insert(PROOFS), [row])
            await change.mail(strangers.PROOF, str(row["id"]))
            await change.note(customer, "domain-proof-mailed", name, after={"to": address})
        return models.Empty()


class Doorstep:
    """What somebody without an account does with such a link."""

    def __init__(self, book: Book, around: Surroundings) -> None:
        self._book = book
        self._around = around
        self._links = Throttle("proof link", book.clock)

    async def look(self, text: str, client: str) -> tuple[str, str] | None:
        """Return the domain and the customer that the link is about, None when it is good for nothing."""
        async with self._book.database.writing() as connection:
            row = await self._links.found(
                connection, client, lambda c: strangers.linked(c, PROOFS, text, self._book.clock.now())
            )
        return None if row is None else (row.domain, row.customer)

    async def prove(self, text: str, client: str) -> str:
        """Use the link up, give the domain to the customer, and return its name; raise Refused when it can't be."""
        if await self.look(text, client) is None:
            raise Refused("link.bad")
        async with self._book.database.reading() as connection:
            row = await strangers.linked(connection, PROOFS, text, self._book.clock.now())
        if row is None:
            raise Refused("link.bad")
        async with self._book.change(Author(row.address, client)) as change:
            if not await strangers.use(change.connection, PROOFS, row.id, change.now):
                raise Refused("link.bad")
            claim = select(CLAIMS.c.name).where(CLAIMS.c.customer == row.customer, CLAIMS.c.name == row.domain)
            if await change.connection.scalar(claim) is None:
                raise Refused("link.bad")  # he has let go of it meanwhile
            await take_domain(change, self._around.directory, row.customer, row.domain, by=row.address)
        return str(row.domain)
