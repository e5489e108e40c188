"""A dictionary of many keys that grows in parts: to copy a million of them at once would hold the loop for 50 ms."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

V = TypeVar("V")

PARTS: Final = 16  # a million keys: a part is copied in about a millisecond as it grows
_SHIFT: Final = 20  # bits of the hash that the parts themselves don't go by


class Spread(Generic[V]):
    """As much of a dictionary as is asked for. Without an order.

    With values that hold nothing (numbers, strings, octets) the garbage collector doesn't walk through it either.
    """

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: tuple[dict[str, V], ...] = tuple({} for _ in range(PARTS))

    def _part(self, key: str) -> dict[str, V]:
        return self.parts[(hash(key) >> _SHIFT) % PARTS]

    def get(self, key: str) -> V | None:
        """Return the value, None when there is none."""
        return self._part(key).get(key)

    def pop(self, key: str) -> V | None:
        """Take the key out and return its value, None when there was none."""
        return self._part(key).pop(key, None)

    def __setitem__(self, key: str, value: V) -> None:
        self._part(key)[key] = value

    def __contains__(self, key: str) -> bool:
        return key in self._part(key)

    def __len__(self) -> int:
        return sum(map(len, self.parts))
