"""What a changed policy would have done to messages that were decided. Pure: recorded events in, a count out."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Final

from schemas import wire
from schemas.events import Customer, Disposition, Received, Verdict
from services.replay.decide import Beside, Difference, Treatment, as_joined, differences, pending_of, treated

EXAMPLES: Final = 5  # of each change of treatment
_KINDS: Final[dict[str, type[Received | Verdict | Disposition]]] = {
    kind.__name__: kind for kind in (Received, Verdict, Disposition)
}
Change = tuple[Treatment, Treatment]  # before and after, whatever rule it was


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """A message that would have been treated otherwise."""

    received: Received
    difference: Difference


@dataclasses.dataclass(slots=True)
class WhatIf:
    """What was found so far."""

    messages: int = 0  # that were decided once more
    otherwise: int = 0  # of which would have been treated otherwise
    unreadable: int = 0  # that a later version wrote, or of which not all is known
    changed: Counter[Change] = dataclasses.field(default_factory=Counter)  # in recipients
    examples: dict[Change, list[Example]] = dataclasses.field(default_factory=dict)

    def look(
        self,
        recorded: Iterable[Iterable[tuple[str, str]]],
        now: Customer,
        then: Customer,
        beside: Beside,
    ) -> None:
        """Decide messages as policy does `now` and as it would `then`; each is its events by name, as JSON.

        The lists of senders and the directory's groups count as they are today. Costs some 0.1 ms a message.
        """
        for events in recorded:
            try:
                self._compare(events, now, then, beside)
            except (wire.Undecodable, KeyError):
                self.unreadable += 1

    def _compare(
        self,
        events: Iterable[tuple[str, str]],
        now: Customer,
        then: Customer,
        beside: Beside,
    ) -> None:
        received, disposition, verdicts = _read(events)
        if received is None or disposition is None:
            self.unreadable += 1
            return
        if received.own or received.bounce_of:
            return
        pending = pending_of(received, as_joined(verdicts, disposition))
        before = treated(pending, now, disposition.decided_at, beside)
        after = treated(pending, then, disposition.decided_at, beside)
        self.messages += 1
        found = differences(received, before, after)
        self.otherwise += bool(found)
        for difference in found:
            change = (_bare(difference.before), _bare(difference.after))
            self.changed[change] += len(difference.recipients)
            some = self.examples.setdefault(change, [])
            if len(some) < EXAMPLES:
                some.append(Example(received, difference))


def _bare(treatment: Treatment) -> Treatment:
    return dataclasses.replace(treatment, rule="", reason="")


def _read(events: Iterable[tuple[str, str]]) -> tuple[Received | None, Disposition | None, list[Verdict]]:
    """Return the message, what policy decided first, and every verdict."""
    received: Received | None = None
    disposition: Disposition | None = None
    verdicts: list[Verdict] = []
    for kind, text in events:
        match wire.decode(text.encode(), _KINDS[kind]):
            case Received() as event if not event.recovered or received is None:
                received = event
            case Verdict() as event:
                verdicts.append(event)
            case Disposition() as event if not event.release:
                disposition = event
            case _:
                pass
    return received, disposition, sorted(verdicts, key=lambda verdict: verdict.scanned_at)
