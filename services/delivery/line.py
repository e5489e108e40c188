"""Who waits for a destination, in the order of arrival: of a million none costs the loop more than any other.

The keys lie in blocks. Whoever goes through all of them holds on to the blocks, not to the keys, so that it may begin
at once and go on over many turns of the loop, while others come and leave.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

BLOCK: Final = 256  # keys: so many are looked at when one leaves, and copied when a walk comes to them


class _Block:
    __slots__ = ("keys",)

    def __init__(self) -> None:
        self.keys: list[str] = []


class Line:
    """Keys in order. One that is there already keeps its place."""

    def __init__(self) -> None:
        self._block_of: dict[str, _Block] = {}
        self._blocks: dict[_Block, None] = {}
        self._last: _Block | None = None  # where the next one goes

    def __contains__(self, key: str) -> bool:
        return key in self._block_of

    def __len__(self) -> int:
        return len(self._block_of)

    def __iter__(self) -> Walk:
        return Walk(self, self._blocks)

    def add(self, key: str) -> None:
        """Let the key stand last."""
        if key in self._block_of:
            return
        if self._last is None or len(self._last.keys) >= BLOCK:
            self._last = _Block()
            self._blocks[self._last] = None
        self._last.keys.append(key)
        self._block_of[key] = self._last

    def discard(self, key: str) -> None:
        """Take the key out; one that isn't there is fine."""
        block = self._block_of.pop(key, None)
        if block is None:
            return
        block.keys.remove(key)
        if not block.keys:
            del self._blocks[block]
            if block is self._last:
                self._last = None

    @property
    def oldest(self) -> str | None:
        """Return the key that came first."""
        block = next(iter(self._blocks), None)
        return None if block is None else block.keys[0]

    def nth(self, number: int) -> str:
        """Return the key at that place, from 0. Raises IndexError."""
        for block in self._blocks:
            if number < len(block.keys):
                return block.keys[number]
            number -= len(block.keys)
        raise IndexError("nobody stands there")

    def walk(self) -> Walk:
        """Return a way through those who wait now, and nobody who comes later."""
        self._last = None
        return iter(self)


class Walk(Iterator[str]):
    """Goes through a line while it changes; leaves out who has left. True as long as there may be more."""

    def __init__(self, line: Line, blocks: dict[_Block, None]) -> None:
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
                self._keys.extend(self._blocks.popleft().keys)
        raise StopIteration
