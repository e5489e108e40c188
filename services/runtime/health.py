"""Whether a process lives and whether it is ready, with the reasons, for whoever asks from outside.

Alive means that the loop turns and that each consumer asks the broker: one that has not for two minutes is stuck, and
only a restart helps. Ready means that there is nothing it waits for. A process that waits for the broker is alive.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import orjson

BEAT_MOST: Final = 30.0  # seconds that the loop may stand still
POLL_MOST: Final = 120.0  # seconds between two polls; a rebalance may drain for a minute


class Health:
    """Written by the loop, read by the thread that answers."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._reasons: dict[str, str] = {}
        self._missing: dict[str, str] = {}
        self._polls: dict[str, float] = {}
        self._beat = monotonic()

    def beat(self) -> None:
        """Say that the loop turns."""
        self._beat = self._monotonic()

    def polled(self, group: str) -> None:
        """Say that a consumer has asked the broker."""
        with self._lock:
            self._polls[group] = self._monotonic()

    def left(self, group: str) -> None:
        """Say that a consumer has ended on purpose."""
        with self._lock:
            self._polls.pop(group, None)

    def waits(self, name: str, reason: str) -> None:
        """Say what a part waits for: until `ready` the process isn't."""
        with self._lock:
            self._reasons[name] = reason

    def misses(self, name: str, reason: str) -> None:
        """Say what a part does without: it answers all the same, and so the process is ready."""
        with self._lock:
            self._missing[name] = reason

    def ready(self, name: str) -> None:
        """Say that a part waits for nothing any more, and misses nothing."""
        with self._lock:
            self._reasons.pop(name, None)
            self._missing.pop(name, None)

    def alive(self) -> tuple[dict[str, str], bytes]:
        """Return what is stuck, and the answer as JSON."""
        now = self._monotonic()
        with self._lock:
            ages = {group: now - at for group, at in self._polls.items()}
        problems = {group: f"last poll {age:.0f} s ago" for group, age in ages.items() if age > POLL_MOST}
        if (still := now - self._beat) > BEAT_MOST:
            problems["loop"] = f"stands still for {still:.0f} s"
        body = {
            "alive": not problems,
            "reasons": problems,
            "last_poll_seconds": {group: round(age, 1) for group, age in sorted(ages.items())},
        }
        return problems, orjson.dumps(body) + b"\n"

    def readiness(self) -> tuple[dict[str, str], bytes]:
        """Return what is waited for, and the answer as JSON, with what is missing where something is."""
        with self._lock:
            reasons, missing = dict(self._reasons), dict(self._missing)
        body = {"ready": not reasons, "reasons": reasons, **({"missing": missing} if missing else {})}
        return reasons, orjson.dumps(body) + b"\n"
