"""Which recipients already have their end: what a consumer reads twice must not be delivered twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable


class Seen:
    """A bounded memory of (message, recipient) pairs; the oldest are forgotten first."""

    def __init__(self, most: int = 200_000) -> None:
        self._most = most
        self._pairs: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._messages: dict[str, int] = {}  # with how many recipients each is remembered

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return pair in self._pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, message: str, recipients: Iterable[str]) -> None:
        """Remember the recipients of the message."""
        for recipient in recipients:
            if (message, recipient) not in self._pairs:
                self._pairs[message, recipient] = None
                self._messages[message] = self._messages.get(message, 0) + 1
            self._pairs.move_to_end((message, recipient))
        while len(self._pairs) > self._most:
            (old, _), _ = self._pairs.popitem(last=False)
            self._messages[old] -= 1
            if not self._messages[old]:
                del self._messages[old]

    def knows(self, message: str) -> bool:
        """Return whether some recipient of the message is remembered."""
        return message in self._messages
