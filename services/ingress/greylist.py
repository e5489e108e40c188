"""Greylisting: a client, sender and recipient that were never seen together are asked to come again later.

A machine that only sends once never does; an MTA does, by RFC 5321 section 4.5.4.1. The table is one compacted topic,
which every process follows: a client that comes back to another process has waited all the same.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from schemas.catalog import GREYLIST
from schemas.events import Event, Greylisted
from services.core.networks import neighbours
from services.runtime.bus import Tombstone

RETRY_WITHIN: Final = 2 * 86_400.0  # seconds: who comes back later begins anew
KEEP: Final = 36 * 86_400.0  # seconds that a pass holds: a monthly letter keeps its own
ENTRIES_MOST: Final = 200_000


def digest(ip: str, reverse_path: str, recipient: str) -> str:
    """Return the key of the three: large senders retry from a neighbour, so the network stands for the client."""
    text = f"{neighbours(ip)}\n{reverse_path.lower()}\n{recipient}"
    return hashlib.sha256(text.encode()).hexdigest()


class Greylist:
    """What is known of all of them; what changes goes to `publish`, which never waits."""

    def __init__(self, delay: float, publish: Callable[[Event | Tombstone], None], most: int = ENTRIES_MOST) -> None:
        self._delay = delay
        self._publish = publish
        self._most = most
        # Apart, and each in the order of its times: a flood of strangers pushes out strangers, not who has passed.
        self._waiting: OrderedDict[str, Greylisted] = OrderedDict()
        self._passed: OrderedDict[str, Greylisted] = OrderedDict()

    def apply(self, entry: Greylisted) -> None:
        """Take in what a process, this one too, has published. A pass is never undone by a late first sight."""
        if entry.passed_at or entry.digest not in self._passed:
            self._keep(entry)

    def remove(self, key: str) -> None:
        """Take in a tombstone."""
        self._waiting.pop(key, None)
        self._passed.pop(key, None)

    def waits(self, ip: str, reverse_path: str, recipient: str, now: float) -> bool:
        """Return whether the three must come again later."""
        key = digest(ip, reverse_path, recipient)
        known = self._passed.get(key) or self._waiting.get(key)
        if known is None or expired(known, now):
            self.remove(key)
            self._change(Greylisted(digest=key, first_at=now))
            return True
        if known.passed_at:
            if now > known.passed_at + KEEP / 2:
                self._change(Greylisted(digest=key, first_at=known.first_at, passed_at=now))
            return False
        if now < known.first_at + self._delay:
            return True
        self._change(Greylisted(digest=key, first_at=known.first_at, passed_at=now))
        return False

    def sweep(self, now: float, most: int = 1_000) -> int:
        """Take out of the topic what has expired, `most` at a time; return how many."""
        swept = 0
        for table in (self._waiting, self._passed):
            while table and swept < most and expired(next(iter(table.values())), now):
                key, _ = table.popitem(last=False)
                self._publish(Tombstone(GREYLIST, key))
                swept += 1
        return swept

    def __len__(self) -> int:
        return len(self._waiting) + len(self._passed)

    def _change(self, entry: Greylisted) -> None:
        self._keep(entry)
        self._publish(entry)

    def _keep(self, entry: Greylisted) -> None:
        self.remove(entry.digest)
        (self._passed if entry.passed_at else self._waiting)[entry.digest] = entry
        if len(self) > self._most:  # the one seen longest ago has to wait once more
            key, _ = (self._waiting or self._passed).popitem(last=False)
            self._publish(Tombstone(GREYLIST, key))


def expired(entry: Greylisted, now: float) -> bool:
    """Return whether the entry means nothing any more."""
    return now > (entry.passed_at + KEEP if entry.passed_at else entry.first_at + RETRY_WITHIN)
