"""Which offset of a partition may be committed while its records are worked on out of order."""

from __future__ import annotations

import heapq
import itertools
from collections import deque


class Prefix:
    """The contiguous prefix of finished records of one partition.

    Committing anything past an unfinished record loses it at the next crash; so the position never passes one.
    """

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._done: set[int] = set()
        self._position: int | None = None

    def start(self, offset: int) -> None:
        """Note that work on the record has begun. Offsets come in rising order; gaps are what compaction took out."""
        self._open.append(offset)

    def finish(self, offset: int) -> None:
        """Note that the record's results are acknowledged."""
        self._done.add(offset)
        while self._open and self._open[0] in self._done:
            self._position = self._open.popleft()
            self._done.discard(self._position)

    @property
    def position(self) -> int | None:
        """Return the next offset to read after a crash, None as long as nothing is finished."""
        return None if self._position is None else self._position + 1

    @property
    def in_flight(self) -> int:
        """Return how many records are begun and not yet part of the prefix."""
        return len(self._open)


class Tied:
    """Finished records of other partitions that may be committed only together with records of this one.

    A verdict that is committed while its message is not: after a crash the message is read again without it.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Prefix, int]] = []  # a heap
        self._tick = itertools.count()

    def tie(self, to: int, prefix: Prefix, offset: int) -> None:
        """Let the record count as finished once the record `to` of this partition does."""
        heapq.heappush(self._waiting, (to, next(self._tick), prefix, offset))

    def passed(self, position: int) -> None:
        """Say that every record of this partition before `position` is finished."""
        while self._waiting and self._waiting[0][0] < position:
            _, _, prefix, offset = heapq.heappop(self._waiting)
            prefix.finish(offset)
