"""Message ids: ULIDs, so that ids sort by the time of their acceptance."""

from __future__ import annotations

import re
from collections.abc import Callable

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SHAPE = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def message_id(now: float, entropy: Callable[[int], bytes]) -> str:
    """Return a new ULID: 48 bits of milliseconds since the epoch, 80 bits from `entropy` (such as `os.urandom`)."""
    number = (int(now * 1000) << 80) | int.from_bytes(entropy(10))
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def is_message_id(text: str) -> bool:
    """Return whether `text` has the shape of an id of ours: what comes from outside is checked before it is a key."""
    return _SHAPE.fullmatch(text) is not None


def born(message: str) -> float:
    """Return the seconds since the epoch at which the id was made."""
    number = 0
    for letter in message[:10]:
        number = number * 32 + _ALPHABET.index(letter)
    return number / 1000
