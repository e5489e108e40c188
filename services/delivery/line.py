"""Who waits for a destination, in the order of arrival: of a million none costs the loop more than any other.

The keys lie in blocks. Whoever goes through all of them holds on to the blocks, not to the keys, so that it may begin
at once and go on over many turns of the loop, while others come and leave. A block is a dictionary without values, and
is known by its number: neither is anything that the garbage collector would walk through.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Final

from services.core.spread import Spread

BLOCK: Final = 256  # keys: so many are copied when a walk comes to them


class Line:
    """Keys in order. One that is there already keeps its place."""

    def __init__(self) -> None:
        self._block_of: Spread[int] = Spread()
        self._blocks: dict[int, dict[str, None]] = {}
        self._numbers = itertools.count()
        self._last: int | None = None  # the block where the next one goes

    def __contains__(self, key: str) -> bool:
        return key in self._block_of

    def __len__(self) -> int:
        return len(self._block_of)

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def __iter__(self) -> Walk:
        return Walk(self, self._blocks)

    def add(self, key: str) -> None:
        """Let the key stand last."""
        if key in self._block_of:
            return
        if self._last is None or len(self._blocks[self._last]) >= BLOCK:
            self._last = next(self._numbers)
            self._blocks[self._last] = {}
        self._blocks[self._last][key] = None
        self._block_of[key] = self._last

    def discard(self, key: str) -> None:
        """Take the key out; one that isn't there is fine."""
        number = self._block_of.pop(key)
        if number is None:
            return
        block = self._blocks[number]
        del block[key]
        if not block:
            del self._blocks[number]
            if number == self._last:
                self._last = None

    def block(self, number: int) -> tuple[str, ...]:
        """Return the keys of a block as they are now; none of one that was left by all."""
        return tuple(self._blocks.get(number, ()))

    @property
    def oldest(self) -> str | None:
        """Return the key that came first."""
        block = next(iter(self._blocks.values()), None)
        return None if block is None else next(iter(block))

    def nth(self, number: int) -> str:
        """Return the key at that place, from 0. Raises IndexError."""
        for block in self._blocks.values():
            if number < len(block):
                return next(itertools.islice(block, number, None))
            number -= len(block)
        raise IndexError("nobody stands there")

    def walk(self) -> Walk:
        """Return a way through those who wait now, and nobody who comes later."""
        self._last = None
        return iter(self)


class Walk(Iterator[str]):
    """Goes through a line while it changes; leaves out who has left. True as long as there may be more."""

    def __init__(self, line: Line, blocks: dict[int, dict[str, None]]) -> None:
        self._line = line
        self._blocks = deque(blocks)
        self._keys: deque[str] = deque()

    def __bool__(self) -> bool:
        return bool(self._keys or self._blocks)

    def __next__(self) -> str:
        while self:
            while self._keys:
                key = self._keys.popleft()
                if key in self._line:
                    return key
            if self._blocks:
                self._keys.extend(self._line.block(self._blocks.popleft()))
        raise StopIteration
