"""Whether an account does what only a thief does with it: what it sent lately, beside what is usual for it. Pure.

A large mailing by itself is no crime: newsletters are sent in one go. So a burst counts together with recipients whom
the customer has never written to; and without a burst, addresses that don't exist, or mail that scanners are sure of.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Sequence
from typing import Final

from schemas.events import Outcome, State

WINDOW: Final = 600.0  # seconds
DAYS: Final = 14  # whose most make what is usual
_NO_SUCH_ADDRESS: Final = re.compile(r"5\d\d[ -]5\.1\.\d{1,2}(?=\s|$)")

Habit = Sequence[Sequence[int]]  # pairs of a day since the epoch and the most that it had within a window


class Reason(enum.StrEnum):
    """Why an account is held; stable codes."""

    BURST = "burst-to-strangers"
    FAILURES = "unknown-recipients"
    BAD = "found-bad"


@dataclasses.dataclass(frozen=True, slots=True)
class Conduct:
    """What went out within WINDOW, counted in recipients."""

    sent: int = 0
    strangers: int = 0  # of them, never written to before
    failed: int = 0  # told meanwhile that there is no such address
    bad: int = 0  # whose message scanners call spam, phishing or a virus
    senders: int = 0  # reverse-paths that an account used; for a reverse-path itself 1


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """From where on it is too much."""

    burst: int  # recipients; 0: nobody is held for one
    growth: float  # times what is usual
    failed: int
    bad: int
    share: float  # of what was sent, for each of the three
    senders: int = 1  # that an account must have used: below that, one sender is to blame, and held by itself


def judged(did: Conduct, usual: int, bounds: Bounds) -> tuple[Reason, ...]:
    """Return why the account should be held, nothing where there is no reason to."""
    if did.senders < bounds.senders:
        return ()
    least = bounds.share * did.sent
    found = []
    if bounds.burst and did.sent >= max(bounds.burst, bounds.growth * usual) and did.strangers >= max(1.0, least):
        found.append(Reason.BURST)
    if bounds.failed and did.failed >= max(bounds.failed, least):
        found.append(Reason.FAILURES)
    if bounds.bad and did.bad >= max(bounds.bad, least):
        found.append(Reason.BAD)
    return tuple(found)


def told(did: Conduct, usual: int) -> str:
    """Return the conduct in one line for a person."""
    minutes = round(WINDOW / 60)
    before = f"at most {usual} before" if usual else "few before"
    parts = [f"{did.sent} recipients within {minutes} min ({before})", f"{did.strangers} of them never written to"]
    if did.failed:
        parts.append(f"{did.failed} that don't exist")
    if did.bad:
        parts.append(f"{did.bad} of mail that scanners call bad")
    if did.senders > 1:
        parts.append("by many senders")
    return ", ".join(parts)


def usual(habit: Habit, at: float) -> int:
    """Return the most that one of the last DAYS days had, today not among them: today is what is judged."""
    today = _day(at)
    return max((most for day, most in habit if today - DAYS <= day < today), default=0)


def learnt(habit: Habit, at: float, sent: int, least: int) -> list[list[int]] | None:
    """Return the habit with today's most, None where nothing is to be written: below `least`, or hardly more.

    Each change is a record of a changelog: so it is written in steps of a quarter.
    """
    today = _day(at)
    so_far = next((most for day, most in habit if day == today), 0)
    if sent < max(least, so_far * 1.25):
        return None
    kept = [[day, most] for day, most in habit if today - DAYS <= day < today]
    return [*kept, [today, sent]]


def no_such_address(outcome: Outcome) -> bool:
    """Return whether the recipients were refused because they don't exist (RFC 3463 section 3.2, 5.1.x).

    Other refusals may be our fault, or a block of our address: that is nothing to hold a sender for.
    """
    return outcome.state is State.BOUNCED and _NO_SUCH_ADDRESS.match(outcome.reply) is not None


def _day(at: float) -> int:
    return int(at // 86_400)
