"""How long a member of a group may believe that its partitions are still its own.

A process that was paused, or cut off from the broker, for longer than its session goes on where it stood until it hears
that others took over. What can't be taken back is begun under a lease only: while the broker has confirmed the member
within half of its session, nobody else has its partitions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from services.core.errors import BusUnavailable
from services.core.waiting import happens

WITHIN: Final = 30.0  # seconds that a confirmation is waited for; members that lost their partitions hear of it sooner


class Membership:
    """What the heartbeats of one member say. Confirmed by its source, asked by its service."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until = float("-inf")
        self._confirmed = asyncio.Event()

    def confirm(self, asked_at: float, lasts: float) -> None:
        """Say that the broker has answered a heartbeat that was sent at `asked_at`: good for `lasts` seconds."""
        self._until = max(self._until, asked_at + lasts)
        self._confirmed.set()

    async def sure(self, within: float = WITHIN) -> None:
        """Return once the partitions are surely ours; raise BusUnavailable when nobody confirms it within the time."""
        deadline = self._monotonic() + within
        while (now := self._monotonic()) >= self._until:
            if now >= deadline:
                raise BusUnavailable("nobody confirms that the partitions are still ours")
            self._confirmed.clear()
            await happens(self._confirmed, min(1.0, deadline - now))
