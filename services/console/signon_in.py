"""Signing in at the customer's own provider: authorization code with PKCE, one issuer, one answer to each question."""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console import models, oidc, steps
from services.console.accounts import add_account
from services.console.book import Author, Book, Change
from services.console.caller import Refused
from services.console.config import ConsoleConfig
from services.console.customers import found
from services.console.oidc import BadProvider, Discovery, Identity
from services.console.outward import Outward, OutwardUnavailable
from services.console.roles import Role
from services.console.secrets import Keeper
from services.console.signin import Session, SignIn, canonical
from services.console.signon import callback_of, provider_of
from services.console.tables import ACCOUNTS, DOMAINS, SIGNON
from services.console.throttle import Throttle

log = logging.getLogger("gatepost.console")

CODE_MOST: Final = 4_096  # characters


class _Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was asked of which provider."""

    customer: str
    issuer: str
    client: str
    state: str
    nonce: str
    verifier: str


class SignOnIn:
    """Every method raises DatabaseUnavailable."""

    def __init__(self, book: Book, signin: SignIn, keeper: Keeper, config: ConsoleConfig, outward: Outward) -> None:
        self._book = book
        self._signin = signin
        self._keeper = keeper
        self._config = config
        self._outward = outward
        most = config.failures_by_client
        self._asked = Throttle("sign-on asked", book.clock, by_client=most * 4, by_subject=most * 4)
        self._wrong = Throttle("sign-on", book.clock, by_client=most, by_subject=most)

    async def customer_of(self, said: str, client: str) -> str:
        """Return the customer with a provider that is meant by an id, a domain or an address; raise Refused."""
        name = said.strip().rpartition("@")[2].lower()[:255]
        owned = select(DOMAINS.c.customer).where(DOMAINS.c.name == name)
        asked = select(SIGNON.c.customer).where(or_(SIGNON.c.customer == name, SIGNON.c.customer.in_(owned)))
        async with self._book.database.writing() as connection:
            await self._count(connection, client)
            customer = await connection.scalar(asked.order_by(SIGNON.c.customer).limit(1))
        if customer is None:
            raise Refused("sso.unknown")
        return str(customer)

    async def start(self, customer: str, client: str) -> tuple[str, str]:
        """Return what the step's cookie says, and where the browser is sent to. Raises Refused."""
        async with self._book.database.writing() as connection:
            await self._count(connection, client)
            row = await provider_of(connection, customer)
        if row is None:
            raise Refused("sso.unknown")
        try:
            discovery = await self._discovery(row.issuer)
        except (BadProvider, OutwardUnavailable) as error:
            raise _failed(customer, error) from error
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        question = _Question(customer, row.issuer, row.client, state, nonce, verifier)
        async with self._book.change(Author("", client)) as change:
            step = await steps.begin(
                change.connection, steps.SIGNON, change.now, change.new_id(), payload=msgspec.to_builtins(question)
            )
        return step, oidc.authorization_url(
            discovery,
            client=row.client,
            callback=callback_of(self._config),
            state=state,
            nonce=nonce,
            verifier=verifier,
        )

    async def finish(self, step: str, answer: Mapping[str, str], client: str, agent: str) -> Session:
        """Return a new session for who comes back from his provider; raise Refused for whatever isn't right."""
        now = self._book.clock.now()
        async with self._book.database.writing() as connection:
            waits = await self._wrong.waits(connection, client, client)
            taken = None if waits else await steps.use(connection, steps.SIGNON, step, now)
        if waits:
            raise Refused("login.wait")
        if taken is None:
            raise Refused("second.over")
        question = msgspec.json.decode(taken.payload, type=_Question)
        try:
            identity = await self._identity(question, answer)
            address = self._address(identity)
            async with self._book.change(Author(address, client)) as change:
                row = await self._account(change, question.customer, address, identity)
                return await self._signin.admit(change, row, client, agent, by="single sign-on")
        except (BadProvider, OutwardUnavailable) as error:
            async with self._book.database.writing() as connection:
                await self._wrong.note(connection, client, client)
            raise _failed(question.customer, error) from error

    # --- the protocol

    async def _discovery(self, issuer: str) -> Discovery:
        document = await self._outward.ask(oidc.discovery_url(issuer))
        return oidc.read_discovery(document, issuer, private=self._config.private_issuers)

    async def _identity(self, question: _Question, answer: Mapping[str, str]) -> Identity:
        if not hmac.compare_digest(answer.get("state", "").encode(), question.state.encode()):
            raise BadProvider("the answer is to another question")
        if "error" in answer:
            raise BadProvider("refused: " + "".join(c for c in answer["error"] if c.isalnum() or c == "_")[:60])
        code = answer.get("code", "")
        if not code or len(code) > CODE_MOST:
            raise BadProvider("no code")
        async with self._book.reading() as connection:
            row = await provider_of(connection, question.customer)
        if row is None or (row.issuer, row.client) != (question.issuer, question.client):
            raise BadProvider("the provider was changed meanwhile")
        discovery = await self._discovery(question.issuer)
        if answer.get("iss", discovery.issuer) != discovery.issuer or (discovery.says_issuer and "iss" not in answer):
            raise BadProvider("the answer is another issuer's")
        form, headers = oidc.token_request(
            discovery,
            client=question.client,
            secret=self._keeper.open(question.customer, row.secret),
            callback=callback_of(self._config),
            code=code,
            verifier=question.verifier,
        )
        tokens = await self._outward.ask(discovery.token, form=form, headers=headers)
        keys = await self._outward.ask(discovery.keys)
        now = self._book.clock.now()
        identity = oidc.identity_of(
            tokens.get("id_token"), keys, discovery, client=question.client, nonce=question.nonce, now=now
        )
        access = tokens.get("access_token")
        if not identity.address and discovery.userinfo and isinstance(access, str) and access.isprintable():
            told = await self._outward.ask(discovery.userinfo, headers={"Authorization": f"Bearer {access}"})
            identity = oidc.with_userinfo(identity, told)
        return identity

    # --- the account

    @staticmethod
    def _address(identity: Identity) -> str:
        if not identity.address or not identity.verified:
            raise Refused("sso.not-verified")
        return canonical(identity.address)

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

    async def _count(self, connection: AsyncConnection, client: str) -> None:
        if await self._asked.waits(connection, client, client):
            raise Refused("login.wait")
        await self._asked.note(connection, client, client)


def _failed(customer: str, error: Exception) -> Refused:
    log.warning("customer=%s event=sign-on-failed error=%s", customer, error)
    return Refused("sso.failed")
