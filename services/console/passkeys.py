"""Signing in with a passkey: alone, or as the second factor after a password."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from webauthn.helpers import bytes_to_base64url

from services.console import steps
from services.console.book import Author, Book, Change
from services.console.caller import Refused
from services.console.ceremony import BadPasskey, Ceremony, challenge_of, new_challenge
from services.console.signin import Session, SignIn
from services.console.tables import ACCOUNTS, PASSKEYS
from services.console.throttle import Throttle

log = logging.getLogger("gatepost.console")


class PasskeyIn:
    """Every method raises DatabaseUnavailable."""

    def __init__(self, book: Book, signin: SignIn, ceremony: Ceremony, *, by_client: int) -> None:
        self._book = book
        self._signin = signin
        self._ceremony = ceremony
        self._asked = Throttle("passkey asked", book.clock, by_client=by_client * 4, by_subject=by_client * 4)
        self._wrong = Throttle("passkey", book.clock, by_client=by_client, by_subject=by_client)

    async def ask(self, client: str) -> tuple[str, str]:
        """Return what the step's cookie says, and as JSON what the browser is asked. Raises Refused."""
        challenge = new_challenge()
        async with self._book.change(Author("", client)) as change:
            if await self._asked.waits(change.connection, client, client):
                raise Refused("login.wait")
            await self._asked.note(change.connection, client, client)
            step = await begin(change, steps.PASSKEY_IN, "", challenge)
        return step, self._ceremony.ask(challenge)

    async def ask_second(self, step: str) -> str:
        """Return, as JSON, what the browser is asked after a password; empty where there is no passkey or step."""
        async with self._book.reading() as connection:
            row = await steps.look(connection, steps.SECOND, step, self._book.clock.now())
            known = [] if row is None else await credentials_of(connection, row.account)
        return self._ceremony.ask(challenge_of(row.payload), known) if row is not None and known else ""

    async def sign_in(self, step: str, answer: str, client: str, agent: str) -> Session:
        """Return a new session; raise Refused, with one text for whatever was wrong."""
        now = self._book.clock.now()
        async with self._book.change(Author("", client)) as change:
            if await self._wrong.waits(change.connection, client, client):
                raise Refused("login.wait")
            row = None
            for kind in (steps.PASSKEY_IN, steps.SECOND):
                row = row or await steps.look(change.connection, kind, step, now)
        if row is None:
            raise Refused("second.over")
        try:
            return await self._sign_in(row, step, answer, client, agent)
        except BadPasskey as error:
            log.info("client=%s event=passkey-refused error=%s", client, error)
        async with self._book.change(Author("", client)) as change:
            await self._wrong.note(change.connection, client, client)
        raise Refused("passkey.wrong")

    async def _sign_in(self, step: Row[Any], text: str, answer: str, client: str, agent: str) -> Session:
        shown = self._ceremony.shown(answer)
        asked = select(ACCOUNTS, PASSKEYS.c.id.label("passkey"), PASSKEYS.c.public_key, PASSKEYS.c.sign_count)
        asked = asked.join(PASSKEYS, PASSKEYS.c.account == ACCOUNTS.c.id).where(
            PASSKEYS.c.credential == shown.credential
        )
        async with self._book.reading() as connection:
            row = (await connection.execute(asked)).first()
        if row is None or row.closed_at:
            raise BadPasskey("no such passkey, or its account is closed")
        if (step.account or row.id) != row.id or (shown.account or row.id) != row.id:
            raise BadPasskey("another account's")
        count = self._ceremony.verified(answer, challenge_of(step.payload), bytes(row.public_key), row.sign_count)
        async with self._book.change(Author(row.address, client)) as change:
            # A challenge is answered once, and of two answers with the same count one is a copy.
            mine = (PASSKEYS.c.id == row.passkey, PASSKEYS.c.sign_count == row.sign_count)
            values = {"sign_count": count, "used_at": change.now}
            counted = await change.connection.execute(update(PASSKEYS).where(*mine).values(**values))
            if not counted.rowcount or await steps.use(change.connection, step.kind, text, change.now) is None:
                raise BadPasskey("answered already")
            return await self._signin.admit(change, row, client, agent, by="passkey")


async def begin(change: Change, kind: str, account: str, challenge: bytes) -> str:
    """Begin a step that awaits the answer to a challenge; return what its cookie says."""
    payload = {"challenge": bytes_to_base64url(challenge)}
    return await steps.begin(change.connection, kind, change.now, change.new_id(), account=account, payload=payload)


async def credentials_of(connection: AsyncConnection, account: str) -> list[bytes]:
    """Return the ids by which authenticators know the account's passkeys."""
    asked = select(PASSKEYS.c.credential).where(PASSKEYS.c.account == account)
    return [bytes(credential) for (credential,) in await connection.execute(asked)]
