"""How a customer's people sign in: whether a second factor is asked of them, and their own OpenID Connect provider."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console import models, models_signin
from services.console.book import Book
from services.console.caller import Caller, NotFound, Refused, allowed
from services.console.config import ConsoleConfig
from services.console.customers import found
from services.console.outward import url_problem
from services.console.roles import Act, Role
from services.console.secrets import Keeper
from services.console.signon_flow import CALLBACK
from services.console.tables import CUSTOMERS, SIGNON
from services.core.secrets import Purpose

MAY_BE_MADE = frozenset({Role.ADMINISTRATOR, Role.HELPDESK, Role.AUDITOR, Role.READER})  # by a provider
TOLD = ("issuer", "client", "role", "users")  # to the audit log


@dataclasses.dataclass(frozen=True, slots=True)
class UsersPlace:
    """Where users come in: the URL of their console, and what seals the secrets that it opens."""

    base: str
    keeper: Keeper


class SignOn:
    """Operations on how people sign in."""

    def __init__(self, book: Book, keeper: Keeper, config: ConsoleConfig, users: UsersPlace | None = None) -> None:
        """`users`: None where this process doesn't know their console."""
        self.book = book
        self._keeper = keeper
        self._config = config
        self._users = users or UsersPlace("", Keeper(None, Purpose.SIGN_ON))

    @allowed(Act.SIGNIN_SHOW)
    async def sign_in(self, caller: Caller, customer: str) -> models_signin.SignInRules:  # noqa: ARG002 - `allowed` reads it
        """How the customer's people sign in."""
        async with self.book.reading() as connection:
            return await self._shown(connection, customer)

    @allowed(Act.SIGNIN_CHANGE)
    async def require_factor(
        self, caller: Caller, customer: str, body: models_signin.FactorRule
    ) -> models_signin.SignInRules:
        """Say whether a second factor is required of everybody who signs in with a password."""
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            before = bool((await found(change.connection, customer)).second_factor)
            mine = CUSTOMERS.c.id == customer
            await change.connection.execute(update(CUSTOMERS).where(mine).values(second_factor=int(body.required)))
            await change.note(
                customer,
                "second-factor-rule",
                customer,
                before={"required": before},
                after={"required": body.required},
            )
            return await self._shown(change.connection, customer)

    @allowed(Act.SIGNIN_CHANGE)
    async def set_provider(
        self, caller: Caller, customer: str, body: models_signin.Provider
    ) -> models_signin.SignInRules:
        """Let people sign in at the customer's own OpenID Connect provider."""
        problem = url_problem(body.issuer, private=self._config.private_issuers)
        if problem or "?" in body.issuer:
            raise Refused("sso.issuer", reason=problem or "not a URL of a host")
        if body.role is not None and body.role not in MAY_BE_MADE:
            raise Refused("sso.role")
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            row = await provider_of(change.connection, customer)
            # A secret that is kept goes to the issuer it was given for, and to no other.
            kept = row is not None and (row.issuer, row.client) == (body.issuer, body.client)
            if not body.secret and not kept:
                raise Refused("sso.secret")
            sealed = self._keeper.seal(customer, body.secret) if body.secret or row is None else row.secret
            values = {
                "issuer": body.issuer,
                "client": body.client,
                "secret": sealed,
                "role": "" if body.role is None else body.role.value,
                "users": body.users,
                # Their console has no key to anything else of ours.
                "users_secret": self._users.keeper.seal(customer, self._keeper.open(customer, sealed))
                if body.users
                else "",
            }
            await change.connection.execute(delete(SIGNON).where(SIGNON.c.customer == customer))
            await change.connection.execute(insert(SIGNON), [{"customer": customer, **values}])
            after = {name: value for name, value in values.items() if name in TOLD}
            after["secret"] = "a new one" if body.secret else "as before"
            await change.note(customer, "provider-set", body.issuer, before=_told(row), after=after)
            return await self._shown(change.connection, customer)

    @allowed(Act.SIGNIN_CHANGE)
    async def remove_provider(self, caller: Caller, customer: str) -> models.Empty:
        """Let nobody sign in at the provider any more."""
        async with self.book.change(caller.author) as change:
            await change.hold(customer)
            row = await provider_of(change.connection, customer)
            if row is None:
                raise NotFound("no provider")
            await change.connection.execute(delete(SIGNON).where(SIGNON.c.customer == customer))
            await change.note(customer, "provider-removed", row.issuer, before=_told(row))
        return models.Empty()

    async def _shown(self, connection: AsyncConnection, customer: str) -> models_signin.SignInRules:
        row = await provider_of(connection, customer)
        return models_signin.SignInRules(
            second_factor=bool((await found(connection, customer)).second_factor),
            issuer="" if row is None else row.issuer,
            client="" if row is None else row.client,
            role=Role(row.role) if row is not None and row.role else None,
            callback=callback_of(self._config.base),
            start=f"{self._config.base}/sso/{customer}",
            users="" if row is None else row.users,
            users_callback=callback_of(self._users.base),
            users_start=f"{self._users.base}/sso/{customer}",
        )


async def provider_of(connection: AsyncConnection, customer: str) -> Row[Any] | None:
    """Return the row of the customer's provider, None where it has none."""
    return (await connection.execute(select(SIGNON).where(SIGNON.c.customer == customer))).first()


def callback_of(base: str) -> str:
    """Return where providers send browsers back to, of the console at this URL."""
    return f"{base}{CALLBACK}"


def _told(row: Row[Any] | None) -> dict[str, str] | None:
    return None if row is None else {name: getattr(row, name) for name in TOLD}
