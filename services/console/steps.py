"""Half-way in: what somebody has shown already, kept here under a secret that only his browser's cookie has."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.credentials import new_secret, same, split
from services.console.tables import STEPS

SECONDS: Final = 300.0  # for which a step is good
SECOND: Final = "second"  # the password was right; the second factor is awaited
PASSKEY_IN: Final = "passkey-in"  # a challenge to sign in with
PASSKEY_NEW: Final = "passkey-new"  # a challenge to register with
SIGNON: Final = "signon"  # at the customer's own provider
USER_SIGNON: Final = "user-signon"  # likewise, of a user


async def begin(
    connection: AsyncConnection, kind: str, now: float, identity: str, *, account: str = "", payload: object = None
) -> str:
    """Insert a step and return what its cookie says; what is too old goes."""
    secret = new_secret(identity)
    await connection.execute(delete(STEPS).where(STEPS.c.expires_at <= now))
    row = {
        "id": identity,
        "hash": secret.hash,
        "kind": kind,
        "account": account,
        "payload": msgspec.json.encode(payload).decode(),
        "expires_at": now + SECONDS,
    }
    await connection.execute(insert(STEPS), [row])
    return secret.text


async def look(connection: AsyncConnection, kind: str, text: str, now: float) -> Row[Any] | None:
    """Return the step, None when it is none of this kind or its time is over."""
    identity, secret = split(text)
    row = (await connection.execute(select(STEPS).where(STEPS.c.id == identity))).first()
    good = same(None if row is None else bytes(row.hash), secret)
    return row if good and row is not None and row.kind == kind and now < row.expires_at else None


async def use(connection: AsyncConnection, kind: str, text: str, now: float) -> Row[Any] | None:
    """Use the step up and return it, None when it is none: of two at once, one gets it."""
    row = await look(connection, kind, text, now)
    if row is None:
        return None
    gone = await connection.execute(delete(STEPS).where(STEPS.c.id == row.id))
    return row if gone.rowcount else None
