"""Who was wrong too often waits: counted by who asks and by what is asked for, known or not, over all processes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.tables import FAILURES
from services.core.clock import Clock
from services.core.ids import message_id

T = TypeVar("T")
WINDOW: Final = 900.0  # seconds
BY_CLIENT: Final = 30  # failures of one address in the window
BY_SUBJECT: Final = 8  # failures about one account in the window, whoever tried


def _key(kind: str, subject: str) -> str:
    return hashlib.sha256(f"{kind}\n{subject.casefold()}".encode("utf-8", "surrogatepass")).hexdigest()


class Throttle:
    """Counts within the transaction of whoever asks."""

    def __init__(self, kind: str, clock: Clock, *, by_client: int = BY_CLIENT, by_subject: int = BY_SUBJECT) -> None:
        self._kind = kind
        self._clock = clock
        self._by_client = by_client
        self._by_subject = by_subject

    async def waits(self, connection: AsyncConnection, client: str, subject: str) -> bool:
        """Return whether the client, or anybody about this subject, has to wait."""
        since = self._clock.now() - WINDOW
        keys = {_key(f"{self._kind} client", client): self._by_client, _key(self._kind, subject): self._by_subject}
        counted = select(FAILURES.c.key, func.count()).where(FAILURES.c.key.in_(keys), FAILURES.c.at > since)
        found = await connection.execute(counted.group_by(FAILURES.c.key))
        return any(count >= keys[key] for key, count in found)

    async def note(self, connection: AsyncConnection, client: str, subject: str) -> None:
        """Count one more, and forget what is too old to count."""
        now = self._clock.now()
        await connection.execute(delete(FAILURES).where(FAILURES.c.at <= now - WINDOW))
        rows = [
            {"id": message_id(now, os.urandom), "key": key, "at": now}
            for key in (_key(f"{self._kind} client", client), _key(self._kind, subject))
        ]
        await connection.execute(insert(FAILURES), rows)

    async def found(
        self, connection: AsyncConnection, client: str, look: Callable[[AsyncConnection], Awaitable[T | None]]
    ) -> T | None:
        """Return what `look` finds for a secret that somebody shows, whatever it is about.

        None when it finds nothing, which is counted, or when the client has to wait.
        """
        if await self.waits(connection, client, "any"):
            return None
        known = await look(connection)
        if known is None:
            await self.note(connection, client, client)
        return known

    async def forget(self, connection: AsyncConnection, subject: str) -> None:
        """Start the subject's count anew."""
        await connection.execute(delete(FAILURES).where(FAILURES.c.key == _key(self._kind, subject)))
