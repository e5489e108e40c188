"""Who has shown that it waits for its turn to speak (RFC 5321 section 4.3.1). Pure, and bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

KEEP: Final = 86_400.0  # seconds that a good record holds
RECORDS_MOST: Final = 50_000


class Records:
    """The addresses that passed: they are greeted at once."""

    def __init__(self, most: int = RECORDS_MOST) -> None:
        self._most = most
        self._until: OrderedDict[str, float] = OrderedDict()

    def good(self, ip: str, now: float) -> bool:
        """Return whether the address passed within the last day."""
        return self._until.get(ip, 0.0) > now

    def passed(self, ip: str, now: float) -> None:
        """Remember that the address waited for its greeting."""
        self._until[ip] = now + KEEP
        self._until.move_to_end(ip)
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def failed(self, ip: str) -> None:
        """Forget what was good about the address."""
        self._until.pop(ip, None)

    def __len__(self) -> int:
        return len(self._until)
