"""Which waiting message is due when. Holds keys and times; the messages themselves are in the table."""

from __future__ import annotations

import heapq


class Schedule:
    """Keys by the time at which they are due, seconds since the epoch. Setting a key again moves it."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: str, at: float) -> None:
        """Let the key be due at that time, and at no other."""
        self._due[key] = at
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [(when, name) for name, when in self._due.items()]
            heapq.heapify(self._heap)

    def cancel(self, key: str) -> None:
        """Take the key out; one that isn't there is fine."""
        self._due.pop(key, None)

    def pop_due(self, now: float, most: int) -> list[str]:
        """Take out and return up to `most` keys that are due, the longest due first."""
        keys: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(keys) < most:
            at, key = heapq.heappop(self._heap)
            if self._due.get(key) == at:
                del self._due[key]
                keys.append(key)
        return keys

    def next_at(self) -> float | None:
        """Return when the next key is due, None when there is none."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
