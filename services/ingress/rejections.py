"""What the door tells goes out when there is time: a refusal never waits for the broker, and never fills the memory."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

from schemas.events import Event
from services.core.errors import BusUnavailable
from services.runtime.bus import Bus, Tombstone

log = logging.getLogger("gatepost.ingress")

_QUEUE: Final = 2_000  # events
_BATCH: Final = 200
_WITHIN: Final = 5.0  # seconds
_LAST_WORDS: Final = 2.0  # seconds to publish what is left when the service stops


class Rejections:
    """A bounded queue before the bus. What doesn't fit, or isn't taken, is counted and gone: a report, not mail."""

    def __init__(self, bus: Bus) -> None:
        self.lost = 0
        self._bus = bus
        self._queue: deque[Event | Tombstone] = deque()
        self._some = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to publish."""
        self.task = asyncio.create_task(self._run(), name="ingress-rejections")

    def note(self, event: Event | Tombstone) -> None:
        """Take an event; the oldest makes room when there is none."""
        if len(self._queue) >= _QUEUE:
            self._queue.popleft()
            self._count(1)
        self._queue.append(event)
        self._some.set()

    async def close(self) -> None:
        """Publish what is left, for as long as that takes no more than two seconds."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
        try:
            async with asyncio.timeout(_LAST_WORDS):
                while self._queue:
                    await self._publish(_LAST_WORDS)
        except TimeoutError:
            self._count(len(self._queue))

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            while self._queue:
                await self._publish(_WITHIN)

    async def _publish(self, within: float) -> None:
        batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
        try:
            await self._bus.publish(batch, within=within)
        except BusUnavailable:
            self._count(len(batch))
        except asyncio.CancelledError:
            self._queue.extendleft(reversed(batch))
            raise

    def _count(self, lost: int) -> None:
        if self.lost // 1000 != (self.lost + lost) // 1000 or not self.lost:
            log.warning("rejections lost=%d", self.lost + lost)
        self.lost += lost
