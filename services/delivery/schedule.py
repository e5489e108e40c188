"""Which waiting message is due when. Holds keys and times; the messages themselves are in the table.

A million may have a time of their own, when an MTA answers and puts everything off: nothing here is ever copied, put in
order or thrown away as a whole.
"""

from __future__ import annotations

import heapq
import math

from services.core.spread import Spread


class Schedule:
    """Keys by the time at which they are due, seconds since the epoch. Setting a key again moves it."""

    def __init__(self) -> None:
        self._due: Spread[float] = Spread()
        self._seconds: dict[int, dict[str, float]] = {}  # the keys of each second in which some are due
        self._order: list[int] = []  # a heap of these seconds, and of some in which none is due any more

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: str, at: float) -> None:
        """Let the key be due at that time, and at no other."""
        self.cancel(key)
        self._due[key] = at
        second = math.floor(at)
        if second not in self._seconds:
            self._seconds[second] = {}
            heapq.heappush(self._order, second)
            if len(self._order) > 2 * len(self._seconds) + 64:
                self._order = sorted(self._seconds)
        self._seconds[second][key] = at

    def cancel(self, key: str) -> None:
        """Take the key out; one that isn't there is fine."""
        at = self._due.pop(key)
        if at is None:
            return
        second = math.floor(at)
        del self._seconds[second][key]
        if not self._seconds[second]:
            del self._seconds[second]

    def pop_due(self, now: float, most: int) -> list[str]:
        """Take out and return up to `most` keys that are due, the longest due first."""
        keys: list[str] = []
        while len(keys) < most:
            due = ((at, key) for key, at in self._first().items() if at <= now)
            taken = [key for _, key in heapq.nsmallest(most - len(keys), due)]
            if not taken:
                break
            for key in taken:
                self.cancel(key)
            keys += taken
        return keys

    def next_at(self) -> float | None:
        """Return when the next key is due, None when there is none."""
        return min(self._first().values(), default=None)

    def _first(self) -> dict[str, float]:
        while self._order and self._order[0] not in self._seconds:
            heapq.heappop(self._order)
        return self._seconds[self._order[0]] if self._order else {}
