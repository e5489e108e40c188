"""Single-use links of users: to activate, and to set a new password."""

from __future__ import annotations

import os
from typing import Any, Final

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.credentials import new_secret, same, split
from services.console.users.tables import USER_LINKS, USERS
from services.core.ids import message_id

ACTIVATE: Final = "user-activate"  # these are the kinds of their mails, too
RESET: Final = "user-reset"
# A code of recovery that is sent to an address is good for a day at most (NIST SP 800-63B, 4.2.2.2).
SECONDS: Final = {ACTIVATE: 7 * 86_400.0, RESET: 86_400.0}


async def make_link(connection: AsyncConnection, user: str, purpose: str, now: float) -> str:
    """Return the text of a new link; its secret is never stored."""
    identity = message_id(now, os.urandom)
    secret = new_secret(identity)
    row = {
        "id": identity,
        "hash": secret.hash,
        "user": user,
        "purpose": purpose,
        "expires_at": now + SECONDS[purpose],
        "used_at": 0.0,
    }
    await connection.execute(insert(USER_LINKS), [row])
    return secret.text


async def find_link(connection: AsyncConnection, text: str, now: float) -> Row[Any] | None:
    """Return the user that the link is good for, None when it is good for none."""
    identity, secret = split(text)
    joined = select(USER_LINKS.c.hash, USER_LINKS.c.expires_at, USER_LINKS.c.used_at, *USERS.c).join(
        USERS, USERS.c.id == USER_LINKS.c.user
    )
    row = (await connection.execute(joined.where(USER_LINKS.c.id == identity))).first()
    good = same(None if row is None else bytes(row.hash), secret)
    if not good or row is None or row.used_at or row.closed_at or now >= row.expires_at:
        return None
    return row


async def use_up(connection: AsyncConnection, user: str, now: float) -> bool:
    """Use up every link of the user, so that a second mail's is none; return whether there was one that was good."""
    good = (USER_LINKS.c.user == user, USER_LINKS.c.used_at == 0)
    return (await connection.execute(update(USER_LINKS).where(*good).values(used_at=now))).rowcount > 0
