"""How long the broker is waited for: as long as each call says, until the process is to stop.

From then on the broker is given a few seconds since its last answer, whoever waits. Each deadline by itself is short
enough; one after the other (publish, flush, commit, leave) they would keep a process for a minute that has nothing more
to do, and whoever started it would end it with SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

FAREWELL: Final = 5.0  # seconds; longer than a partition is without a leader when a broker of three dies
LAST: Final = 0.5  # seconds to let go of a connection, whatever happened before


class Patience:
    """The deadlines of everybody in the process who waits for one broker."""

    def __init__(self) -> None:
        self._farewell: float | None = None  # seconds
        self._until = float("inf")  # by the loop's clock, as the ones below
        self._waits: dict[asyncio.Timeout, float] = {}  # each with the deadline of its own

    @contextlib.asynccontextmanager
    async def within(self, seconds: float, *, at_least: float = 0.0) -> AsyncIterator[None]:
        """Raise TimeoutError when the block takes longer than `seconds`, or than the broker has once we are to stop.

        The block has `at_least` so many seconds in any case.
        """
        now = asyncio.get_running_loop().time()
        if at_least:
            async with asyncio.timeout_at(min(now + seconds, max(self._until, now + at_least))):
                yield
            return
        async with asyncio.timeout_at(min(now + seconds, self._until)) as wait:
            self._waits[wait] = now + seconds
            try:
                yield
            finally:
                del self._waits[wait]

    def hurry(self, within: float = FAREWELL) -> None:
        """Wait no longer for a broker than `within` seconds since its last answer. For good: we are to stop."""
        if self._farewell is None:
            self._farewell = within
            self.answered()

    def answered(self) -> None:
        """Say that the broker has answered: whoever waits may wait a little longer."""
        if self._farewell is None:
            return
        self._until = asyncio.get_running_loop().time() + self._farewell
        for wait, own in self._waits.items():
            if not wait.expired():
                wait.reschedule(min(own, self._until))
