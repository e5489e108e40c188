"""Counts how TLS went with each destination and day, for the reports that domains ask for (RFC 8460). No I/O."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from schemas.events import TlsFailure, TlsResults

POLICIES_MOST: Final = 10_000  # of domains and days that are counted; further ones are not
KINDS_MOST: Final = 50  # of failures of one of them


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """One session, or that there was none."""

    domain: str
    policy: str  # sts, tlsa or no-policy-found
    strings: tuple[str, ...]
    host: str
    failure: str = ""  # RFC 8460 section 4.3; empty: it went well


Note = Callable[[Result], None]


@dataclasses.dataclass(slots=True)
class _Count:
    strings: tuple[str, ...]
    successes: int = 0
    failures: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    changed: bool = True


class Results:
    """What one process has seen, by domain, day and policy."""

    def __init__(self, owner: str, now: Callable[[], float]) -> None:
        """`owner` names this start of this process."""
        self._owner = owner
        self._now = now
        self._counts: dict[tuple[str, str, str], _Count] = {}

    def note(self, result: Result) -> None:
        """Count a session."""
        key = (result.domain.lower(), day_of(self._now()), result.policy)
        if key not in self._counts and len(self._counts) >= POLICIES_MOST:
            return
        count = self._counts.setdefault(key, _Count(result.strings))
        count.changed, count.strings = True, result.strings
        if not result.failure:
            count.successes += 1
        elif len(count.failures) < KINDS_MOST or (result.failure, result.host) in count.failures:
            count.failures[result.failure, result.host] += 1

    def changed(self) -> list[TlsResults]:
        """Return what has changed since this was asked; what is of an earlier day is forgotten with it."""
        now = self._now()
        today = day_of(now)
        events = []
        for (domain, day, policy), count in list(self._counts.items()):
            if count.changed:
                count.changed = False
                failures = tuple(
                    TlsFailure(result=result, host=host, count=times)
                    for (result, host), times in sorted(count.failures.items())
                )
                events.append(
                    TlsResults(
                        domain=domain,
                        day=day,
                        owner=self._owner,
                        policy=policy,
                        strings=count.strings,
                        successes=count.successes,
                        failures=failures,
                        at=now,
                    )
                )
            if day != today:
                del self._counts[domain, day, policy]
        return events


def day_of(now: float) -> str:
    """Return the day, UTC, as 2026-11-29."""
    return time.strftime("%Y-%m-%d", time.gmtime(now))
