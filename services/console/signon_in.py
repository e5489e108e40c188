"""Accounts at their customer's own provider: whose account an identity opens, and who gets a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select, true

from services.console import models, steps
from services.console.accounts import add_account
from services.console.book import Author, Book, Change
from services.console.caller import Refused
from services.console.config import ConsoleConfig
from services.console.customers import found
from services.console.oidc import Identity
from services.console.outward import Outward
from services.console.roles import Role
from services.console.secrets import Keeper
from services.console.signin import Session, SignIn, canonical
from services.console.signon import callback_of, provider_of
from services.console.signon_flow import Flow, Side
from services.console.tables import ACCOUNTS, DOMAINS


class SignOnIn:
    """Begins sessions of accounts. Raises DatabaseUnavailable."""

    def __init__(self, book: Book, signin: SignIn, keeper: Keeper, config: ConsoleConfig, outward: Outward) -> None:
        self._book = book
        self._signin = signin
        side = Side(
            kind=steps.SIGNON,
            callback=callback_of(config.base),
            offered=true(),
            secret=lambda row: keeper.open(row.customer, row.secret),
            private=config.private_issuers,
            by_client=config.failures_by_client,
        )
        self.flow = Flow(book, side, outward)

    async def finish(self, step: str, answer: Mapping[str, str], client: str, agent: str) -> Session:
        """Return a new session for who comes back from his provider; raise Refused for whatever isn't right."""
        customer, identity = await self.flow.finish(step, answer, client)
        address = canonical(identity.address)
        async with self._book.change(Author(address, client)) as change:
            row = await self._account(change, customer, address, identity)
            return await self._signin.admit(change, row, client, agent, by="single sign-on")

    async def _account(self, change: Change, customer: str, address: str, identity: Identity) -> Row[Any]:
        asked = select(ACCOUNTS).where(ACCOUNTS.c.address == address)
        row = (await change.connection.execute(asked)).first()
        # Another customer's account, or an operator's, is none that this customer's provider may open.
        if row is not None:
            if row.customer != customer or row.closed_at:
                raise Refused("sso.no-account")
            return row
        provider = await provider_of(change.connection, customer)
        own = select(DOMAINS.c.name).where(DOMAINS.c.customer == customer, DOMAINS.c.name == address.rpartition("@")[2])
        if provider is None or not provider.role or await change.connection.scalar(own) is None:
            raise Refused("sso.no-account")
        language = (await found(change.connection, customer)).language
        body = models.NewAccount(
            address=identity.address,
            name=identity.name,
            role=Role(provider.role),
            language="it" if language == "it" else "en",
        )
        await add_account(change, customer, body, invited=False)
        made = (await change.connection.execute(asked)).first()
        if made is None:
            raise Refused("sso.no-account")
        return made
