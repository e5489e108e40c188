"""What lies in the quarantine and may turn out to be one of an outbreak that is told only later. Pure, and bounded.

A memory that a restart fills again from the end of mail.dispositions.v1. What is asked of the quarantine makes a status
worse and never better, so asking twice does no harm, and two members may ask the same.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Final

from schemas.events import Action, Disposition, Signal, Status
from services.core.outbreak import BAD, NO_PRINT, flagged, found_in, told_of, vouched
from services.core.signals import Kind, Signals

MOST: Final = 20_000  # messages; the oldest make room


@dataclasses.dataclass(frozen=True, slots=True)
class Worse:
    """What a held message is made by a burst."""

    id: str
    customer: str
    status: Status
    note: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Held:
    customer: str
    prints: tuple[str, ...]
    vouched: bool
    status: Status


class HeldPrints:
    """The fingerprints of the messages that were held last."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._seen: dict[str, bool] = {}  # fingerprint of a burst that was looked into → whether others were sure

    def remember(self, disposition: Disposition) -> None:
        """Take in what was decided, if anything of it is held; a release takes it out."""
        message = disposition.received.id
        if disposition.released_by:
            self._held.pop(message, None)
            return
        prints = tuple(found for found in disposition.prints if found not in NO_PRINT)
        if not prints or all(branch.action is not Action.QUARANTINE for branch in disposition.branches):
            return
        status = Status.SPAM if flagged(disposition) else disposition.status
        who = disposition.received.customer
        self._held[message] = _Held(who, prints, vouched(disposition.auth_results), status)
        self._held.move_to_end(message)
        while len(self._held) > self._most:
            self._held.popitem(last=False)

    def worse(self, signals: Signals, now: float) -> list[Worse]:
        """Return what bursts that were told, or became surer, since the last call make worse of what is held."""
        told = {signal.subject: signal for signal in signals.all_active(now) if signal.kind == Kind.OUTBREAK}
        fresh = {key for key, signal in told.items() if self._seen.get(key) is not _sure(signal)}
        self._seen = {key: _sure(signal) for key, signal in told.items()}
        if not fresh:
            return []
        made: list[Worse] = []
        for message, held in self._held.items():
            if fresh.isdisjoint(held.prints):
                continue
            status, signal = found_in(held.prints, held.vouched, signals, now) or (None, None)
            if status is not None and signal is not None and _is_worse(status, held.status):
                made.append(Worse(message, held.customer, status, told_of(signal)))
        return made


def _sure(signal: Signal) -> bool:
    return 2 * signal.flagged >= signal.count


def _is_worse(status: Status, than: Status) -> bool:
    return than not in BAD and status is not than
