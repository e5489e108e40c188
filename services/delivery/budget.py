"""How much memory messages may take, so that many large ones wait for each other instead of ending the process."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator


class Budget:
    """So many octets at a time, first come, first served. What is larger than all of it goes alone."""

    def __init__(self, octets: int) -> None:
        self._all = octets
        self._free = octets
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def hold(self, octets: int) -> AsyncIterator[None]:
        """Hold so many octets while the block runs; waits until they are free."""
        octets = min(octets, self._all)
        await self._take(octets)
        try:
            yield
        finally:
            self._give(octets)

    async def _take(self, octets: int) -> None:
        if octets <= self._free and not self._waiting:
            self._free -= octets
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((octets, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give(octets)
            else:
                with contextlib.suppress(ValueError):  # `_give` may have passed over it already
                    self._waiting.remove((octets, turn))
                self._give(0)  # who stood behind may fit
            raise

    def _give(self, octets: int) -> None:
        self._free += octets
        while self._waiting and self._waiting[0][0] <= self._free:
            wanted, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= wanted
                turn.set_result(None)
