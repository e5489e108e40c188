"""Users at their customer's own provider: whom an identity lets in, and who is made at his first sign-in."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.events import Customer, Domain
from services.console import steps
from services.console.book import Author, Book, Change
from services.console.caller import Refused
from services.console.models_signin import UsersSignOn
from services.console.oidc import Identity
from services.console.outward import Outward
from services.console.secrets import Keeper
from services.console.signin import canonical
from services.console.signon import callback_of, provider_of
from services.console.signon_flow import Flow, Side
from services.console.tables import SIGNON
from services.console.users import people
from services.console.users.config import UsersConfig
from services.console.users.decide import Person
from services.console.users.signin import Begun, UserSignIn
from services.console.users.tables import PROVIDER, Kind
from services.core.address import parse
from services.core.directory import Directory


class UserSignOn:
    """Begins sessions of users. Raises DatabaseUnavailable."""

    def __init__(  # what it stands on
        self,
        book: Book,
        signin: UserSignIn,
        customers: Directory,
        keeper: Keeper,
        config: UsersConfig,
        outward: Outward,
    ) -> None:
        self._book = book
        self._signin = signin
        self._customers = customers
        side = Side(
            kind=steps.USER_SIGNON,
            callback=callback_of(config.base),
            offered=SIGNON.c.users != "",
            secret=lambda row: keeper.open(row.customer, row.users_secret),
            private=config.private_issuers,
            by_client=config.failures_by_client,
        )
        self.flow = Flow(book, side, outward)

    async def finish(self, step: str, answer: Mapping[str, str], client: str, agent: str) -> Begun:
        """Return a new session for who comes back from his provider; raise Refused for whatever isn't right.

        The address that the provider has verified has to be one of a user's, in a domain that is the customer's now.
        """
        customer, identity = await self.flow.finish(step, answer, client)
        address = canonical(identity.address)
        found = self._customers.lookup_domain(address.rpartition("@")[2])
        if found is None or found[0].id != customer:  # another customer's people are none of this provider's
            raise Refused("sso.no-account")
        async with self._book.change(Author(address, client)) as change:
            await change.hold(customer)
            row = await people.by_address(change.connection, customer, address)
            if row is None and await self._may_be_made(change, *found, address):
                await self._make(change, customer, address, identity)
                row = await people.by_address(change.connection, customer, address)
            if row is None or row.kind != Kind.USER or row.closed_at:
                raise Refused("sso.no-account")
            return await self._signin.admit(change, row, client, agent, by="single sign-on")

    async def _may_be_made(self, change: Change, customer: Customer, domain: Domain, address: str) -> bool:
        provider = await provider_of(change.connection, customer.id)
        rule: UsersSignOn = "" if provider is None else provider.users
        if rule != "known":
            return rule == "all"
        # A domain that takes every recipient says of none that there is one.
        return not domain.any_recipient and self._customers.recipient_known(customer, domain, parse(address))

    @staticmethod
    async def _make(change: Change, customer: str, address: str, identity: Identity) -> None:
        await people.add(change, customer, [Person(address=address, name=identity.name)], PROVIDER)
        await change.note(customer, "user-added", address, after={"by": "single sign-on", "name": identity.name})
