"""API tokens: each its maker's own, with some of what he may do."""

from __future__ import annotations

from typing import Final

from sqlalchemy import insert, select, update

from services.console import models
from services.console.accounts import limits_of
from services.console.book import Book
from services.console.caller import Caller, Forbidden, NotFound, allowed
from services.console.credentials import new_secret
from services.console.licence import DAY
from services.console.roles import Act
from services.console.signin import TOKEN_KIND
from services.console.tables import ACCOUNTS, TOKENS

TOKENS_MOST: Final = 500  # that one list shows


class Tokens:
    """Operations on tokens."""

    def __init__(self, book: Book) -> None:
        self.book = book

    @allowed(Act.TOKENS_SHOW, limited=True)
    async def tokens(self, caller: Caller, customer: str) -> models.Tokens:
        """A customer's tokens, without their secrets."""
        asked = select(TOKENS, ACCOUNTS.c.address, ACCOUNTS.c.domains).join(ACCOUNTS, ACCOUNTS.c.id == TOKENS.c.account)
        asked = asked.where(TOKENS.c.customer == customer).order_by(TOKENS.c.id.desc()).limit(TOKENS_MOST)
        async with self.book.reading() as connection:
            rows = (await connection.execute(asked)).all()
        return models.Tokens(
            tokens=[
                models.Token(
                    id=row.id,
                    label=row.label,
                    address=row.address,
                    scopes=[Act(each) for each in row.scopes.split()],
                    made_at=row.made_at,
                    expires_at=row.expires_at,
                    used_at=row.used_at,
                    revoked=bool(row.revoked_at),
                )
                for row in rows
                if caller.covers(limits_of(row))
            ]
        )

    @allowed(Act.TOKENS_CHANGE, limited=True)
    async def make_token(self, caller: Caller, customer: str, body: models.NewToken) -> models.MadeToken:
        """Make a token for this customer, with scopes that the caller has himself; it is shown this once."""
        if not all(caller.may(scope) for scope in body.scopes):
            raise Forbidden("a scope that the caller hasn't")
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            identity = change.new_id()
            secret = new_secret(identity, TOKEN_KIND)
            scopes = sorted({scope.value for scope in body.scopes})
            row = {
                "id": identity,
                "hash": secret.hash,
                "customer": customer,
                "account": caller.account,
                "label": body.label,
                "scopes": "\n".join(scopes),
                "made_at": change.now,
                "expires_at": change.now + body.days * DAY,
                "revoked_at": 0.0,
            }
            await change.connection.execute(insert(TOKENS), [row])
            await change.note(customer, "token-made", body.label, after={"id": identity, "scopes": scopes})
        return models.MadeToken(id=identity, token=secret.text)

    @allowed(Act.TOKENS_CHANGE, limited=True)
    async def revoke_token(self, caller: Caller, customer: str, token: str) -> models.Empty:
        """Revoke a token from now on."""
        good = (TOKENS.c.id == token, TOKENS.c.customer == customer, TOKENS.c.revoked_at == 0)
        whose = select(ACCOUNTS.c.domains).join(TOKENS, TOKENS.c.account == ACCOUNTS.c.id).where(*good)
        async with self.book.change(caller.author) as change:
            row = (await change.connection.execute(whose)).first()
            if row is None or not caller.covers(limits_of(row)):
                raise NotFound(token)
            gone = await change.connection.execute(update(TOKENS).where(*good).values(revoked_at=change.now))
            if not gone.rowcount:
                raise NotFound(token)
            await change.note(customer, "token-revoked", token)
        return models.Empty()
