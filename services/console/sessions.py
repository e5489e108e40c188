"""Sessions as they are kept, of accounts and of users alike: a row with the hash of what the cookie holds."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Table, delete, insert, select

from services.console.book import Change
from services.console.credentials import Secret, new_secret

IDLE: Final = 1_800.0  # seconds after which a session that isn't used ends
SESSION_MOST: Final = 43_200.0  # seconds after which any ends
SEEN_EVERY: Final = 60.0  # seconds between notes of a session's or a token's use
SESSIONS_MOST: Final = 20  # of one account; the oldest goes
AGENT_MOST: Final = 200  # characters


async def open_session(
    change: Change, table: Table, identity: str, owner: dict[str, str], *, client: str, agent: str, **more: int
) -> Secret:
    """Insert a session of that id and return its secret; old ones of its owner make room.

    `owner` is the column that says whose it is, and the id there.
    """
    ((column, who),) = owner.items()
    secret = new_secret(identity)
    mine = table.c[column] == who
    old = select(table.c.id).where(mine).order_by(table.c.seen_at.desc()).offset(SESSIONS_MOST - 1)
    gone = [session for (session,) in await change.connection.execute(old.limit(SESSIONS_MOST))]
    over = table.c.id.in_(gone) | (table.c.seen_at < change.now - SESSION_MOST)
    await change.connection.execute(delete(table).where(mine, over))
    row = {
        "id": identity,
        "hash": secret.hash,
        column: who,
        "made_at": change.now,
        "seen_at": change.now,
        "client": client,
        "agent": agent[:AGENT_MOST],
        **more,
    }
    await change.connection.execute(insert(table), [row])
    return secret
