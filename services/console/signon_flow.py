"""The code flow at a customer's own provider: PKCE, one issuer, one answer to each question.

Accounts and users come in by it, each at a side of their own: what one side asked, the other takes no answer to.
"""

from __future__ import annotations

import dataclasses
import hmac
import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console import oidc, steps
from services.console.book import Author, Book
from services.console.caller import Refused
from services.console.oidc import BadProvider, Discovery, Identity
from services.console.outward import Outward, OutwardUnavailable
from services.console.tables import DOMAINS, SIGNON
from services.console.throttle import Throttle

log = logging.getLogger("gatepost.console")

CODE_MOST: Final = 4_096  # characters
CALLBACK: Final = "/sso-callback"


class _Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was asked of which provider."""

    customer: str
    issuer: str
    client: str
    state: str
    nonce: str
    verifier: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Who comes in here."""

    kind: str  # of the steps that wait for an answer
    callback: str  # where providers send browsers back to
    offered: ColumnElement[bool]  # of SIGNON: whose provider is for this side
    secret: Callable[[Row[Any]], str]  # opens the client's secret; raises Refused
    private: bool  # providers may be in our own network
    by_client: int  # failures of an address before it waits


class Flow:
    """Every method raises DatabaseUnavailable, and Refused for whatever isn't right."""

    def __init__(self, book: Book, side: Side, outward: Outward) -> None:
        self._book = book
        self._side = side
        self.outward = outward
        most = side.by_client
        self._asked = Throttle(f"{side.kind} asked", book.clock, by_client=most * 4, by_subject=most * 4)
        self._wrong = Throttle(side.kind, book.clock, by_client=most, by_subject=most)

    async def customer_of(self, said: str, client: str) -> str:
        """Return the customer with a provider that is meant by an id, a domain or an address."""
        name = said.strip().rpartition("@")[2].lower()[:255]
        owned = select(DOMAINS.c.customer).where(DOMAINS.c.name == name)
        asked = select(SIGNON.c.customer).where(or_(SIGNON.c.customer == name, SIGNON.c.customer.in_(owned)))
        async with self._book.database.writing() as connection:
            await self._count(connection, client)
            asked = asked.where(self._side.offered).order_by(SIGNON.c.customer).limit(1)
            customer = await connection.scalar(asked)
        if customer is None:
            raise Refused("sso.unknown")
        return str(customer)

    async def start(self, customer: str, client: str) -> tuple[str, str]:
        """Return what the step's cookie says, and where the browser is sent to."""
        async with self._book.database.writing() as connection:
            await self._count(connection, client)
            row = await self._provider(connection, customer)
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
                change.connection, self._side.kind, change.now, change.new_id(), payload=msgspec.to_builtins(question)
            )
        return step, oidc.authorization_url(
            discovery, client=row.client, callback=self._side.callback, state=state, nonce=nonce, verifier=verifier
        )

    async def finish(self, step: str, answer: Mapping[str, str], client: str) -> tuple[str, Identity]:
        """Return the customer whose provider it was and who came back, with an address that it has verified."""
        now = self._book.clock.now()
        async with self._book.database.writing() as connection:
            waits = await self._wrong.waits(connection, client, client)
            taken = None if waits else await steps.use(connection, self._side.kind, step, now)
        if waits:
            raise Refused("login.wait")
        if taken is None:
            raise Refused("second.over")
        question = msgspec.json.decode(taken.payload, type=_Question)
        try:
            identity = await self._identity(question, answer)
        except (BadProvider, OutwardUnavailable) as error:
            async with self._book.database.writing() as connection:
                await self._wrong.note(connection, client, client)
            raise _failed(question.customer, error) from error
        if not identity.address or not identity.verified:
            raise Refused("sso.not-verified")
        return question.customer, identity

    # --- the protocol

    async def _discovery(self, issuer: str) -> Discovery:
        document = await self.outward.ask(oidc.discovery_url(issuer))
        return oidc.read_discovery(document, issuer, private=self._side.private)

    async def _identity(self, question: _Question, answer: Mapping[str, str]) -> Identity:
        if not hmac.compare_digest(answer.get("state", "").encode(), question.state.encode()):
            raise BadProvider("the answer is to another question")
        if "error" in answer:
            raise BadProvider("refused: " + "".join(c for c in answer["error"] if c.isalnum() or c == "_")[:60])
        code = answer.get("code", "")
        if not code or len(code) > CODE_MOST:
            raise BadProvider("no code")
        async with self._book.reading() as connection:
            row = await self._provider(connection, question.customer)
        if row is None or (row.issuer, row.client) != (question.issuer, question.client):
            raise BadProvider("the provider was changed meanwhile")
        discovery = await self._discovery(question.issuer)
        if answer.get("iss", discovery.issuer) != discovery.issuer or (discovery.says_issuer and "iss" not in answer):
            raise BadProvider("the answer is another issuer's")
        form, headers = oidc.token_request(
            discovery,
            client=question.client,
            secret=self._side.secret(row),
            callback=self._side.callback,
            code=code,
            verifier=question.verifier,
        )
        tokens = await self.outward.ask(discovery.token, form=form, headers=headers)
        keys = await self.outward.ask(discovery.keys)
        now = self._book.clock.now()
        identity = oidc.identity_of(
            tokens.get("id_token"), keys, discovery, client=question.client, nonce=question.nonce, now=now
        )
        access = tokens.get("access_token")
        if not identity.address and discovery.userinfo and isinstance(access, str) and access.isprintable():
            told = await self.outward.ask(discovery.userinfo, headers={"Authorization": f"Bearer {access}"})
            identity = oidc.with_userinfo(identity, told)
        return identity

    # --- helpers

    async def _provider(self, connection: AsyncConnection, customer: str) -> Row[Any] | None:
        asked = select(SIGNON).where(SIGNON.c.customer == customer, self._side.offered)
        return (await connection.execute(asked)).first()

    async def _count(self, connection: AsyncConnection, client: str) -> None:
        if await self._asked.waits(connection, client, client):
            raise Refused("login.wait")
        await self._asked.note(connection, client, client)


def _failed(customer: str, error: Exception) -> Refused:
    log.warning("customer=%s event=sign-on-failed error=%s", customer, error)
    return Refused("sso.failed")
