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

# By day since the epoch: the most recipients that it had within WINDOW, and the strangers of all of it.
Habit = Sequence[Sequence[int]]


class Reason(enum.StrEnum):
    """Why an account is held; stable codes."""

    BURST = "burst-to-strangers"
    DAY = "strangers-within-a-day"  # for who stays below a burst
    FAILURES = "unknown-recipients"
    BAD = "found-bad"


@dataclasses.dataclass(frozen=True, slots=True)
class Conduct:
    """What went out within WINDOW, counted in recipients."""

    sent: int = 0
    strangers: int = 0  # of them, never written to before
    failed: int = 0  # told meanwhile that there is no such address
    bad: int = 0  # whose message scanners call spam, phishing or a virus
    today: int = 0  # strangers since midnight, UTC
    senders: int = 0  # reverse-paths that an account used; for a reverse-path itself 1


@dataclasses.dataclass(frozen=True, slots=True)
class Usual:
    """The most that one of the last DAYS days had; today is not among them: it is what is judged."""

    sent: int = 0  # within WINDOW
    strangers: int = 0  # in all


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """From where on it is too much."""

    burst: int  # recipients; 0, here and below: nobody is held for it
    day: int  # strangers
    growth: float  # times what is usual
    failed: int
    bad: int
    share: float  # of what was sent, for strangers of a burst, failures and bad mail
    senders: int = 1  # that an account must have used: below that, one sender is to blame, and held by itself


def judged(did: Conduct, usual: Usual, bounds: Bounds) -> tuple[Reason, ...]:
    """Return why the account should be held, nothing where there is no reason to."""
    if did.senders < bounds.senders:
        return ()
    least = bounds.share * did.sent
    found = []
    if bounds.burst and did.sent >= max(bounds.burst, bounds.growth * usual.sent) and did.strangers >= max(1.0, least):
        found.append(Reason.BURST)
    if bounds.day and did.today >= max(bounds.day, bounds.growth * usual.strangers):
        found.append(Reason.DAY)
    if bounds.failed and did.failed >= max(bounds.failed, least):
        found.append(Reason.FAILURES)
    if bounds.bad and did.bad >= max(bounds.bad, least):
        found.append(Reason.BAD)
    return tuple(found)


def told(did: Conduct, usual: Usual) -> str:
    """Return the conduct in one line for a person."""
    minutes = round(WINDOW / 60)
    before = f"at most {usual.sent} before" if usual.sent else "few before"
    parts = [f"{did.sent} recipients within {minutes} min ({before})", f"{did.strangers} of them never written to"]
    if did.today > did.strangers:
        parts.append(f"{did.today} such today")
    if did.failed:
        parts.append(f"{did.failed} that don't exist")
    if did.bad:
        parts.append(f"{did.bad} of mail that scanners call bad")
    if did.senders > 1:
        parts.append("by many senders")
    return ", ".join(parts)


def usual(habit: Habit, at: float) -> Usual:
    """Return what is usual for an account."""
    before = [row for row in habit if day_of(at) - DAYS <= row[0] < day_of(at)]
    return Usual(max((row[1] for row in before), default=0), max((row[2] for row in before), default=0))


def today(habit: Habit, at: float) -> int:
    """Return the strangers that it had today."""
    return next((row[2] for row in habit if row[0] == day_of(at)), 0)


def learnt(habit: Habit, at: float, sent: int, strangers: int, least: int) -> list[list[int]] | None:
    """Return the habit once `strangers` more were written to and the window has `sent`; None: nothing is to write.

    Each change is a record of a changelog. So a window below `least` isn't noted, nor one that hardly tops the last.
    """
    now = day_of(at)
    most, so_far = next(((row[1], row[2]) for row in habit if row[0] == now), (0, 0))
    higher = sent >= max(least, most * 1.25)
    if not higher and not strangers:
        return None
    kept = [list(row) for row in habit if now - DAYS <= row[0] < now]
    return [*kept, [now, sent if higher else most, so_far + strangers]]


def day_of(at: float) -> int:
    """Return the day since the epoch, UTC."""
    return int(at // 86_400)


def no_such_address(outcome: Outcome) -> bool:
    """Return whether the recipients were refused because they don't exist (RFC 3463 section 3.2, 5.1.x).

    Other refusals may be our fault, or a block of our address: that is nothing to hold a sender for.
    """
    return outcome.state is State.BOUNCED and _NO_SUCH_ADDRESS.match(outcome.reply) is not None
