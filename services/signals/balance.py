"""Which accepted messages have not ended, where each was seen last, and which of them nobody seems to hold. Pure.

In a window that ends now, accepted and ended never agree: a message may rightly wait ten days for an MTA and thirty in
quarantine. So what is weighed is not the difference but its reason: a message that has not ended must be somewhere, and
the topics say where. One whose last place has been left behind by the group that should have moved it is a suspect.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from schemas.catalog import DISPOSITIONS, RECEIVED
from schemas.events import Action, Deferred, Disposition, Event, Outcome, Pending, Received
from services.core.branches import deals
from services.core.ids import born, is_message_id
from services.runtime.audit import Sight
from services.runtime.source import Slot

GRACE: Final = 20.0  # seconds that a message may be on its way from one place to the next
OLD: Final = 11 * 86_400.0  # seconds; of an older message mail.received.v1 may have lost the beginning
WINDOW: Final = 3_600.0  # seconds of acceptance that are summed together

_RECEIVED, _DELIVER, _HELD, _DEFERRED, _MOVING = "received", "deliver", "held", "deferred", "moving"
_PLACES: Final = {Action.DELIVER: _DELIVER, Action.QUARANTINE: _HELD, Action.DELETE: _MOVING}
_MOVERS: Final = {_RECEIVED: ("policy", RECEIVED.name), _DELIVER: ("delivery", DISPOSITIONS.name)}

_WAITS: Final = {"deferred": _DEFERRED, "held": _HELD}  # of an audit

Value = dict[str, Any]  # of Faust's table: what JSON can say


@dataclasses.dataclass(slots=True)
class Open:
    """A message that has not ended for everybody. Recipients are known by a checksum."""

    customer: str = ""
    at: float = 0.0  # when it was accepted; 0: its outcome came before it
    seen: float = 0.0  # when it moved last, by our clock
    pending: bool = False  # policy waits for verdicts
    places: dict[str, tuple[str, int]] = dataclasses.field(default_factory=dict)  # recipient → place, offset
    ended: set[str] = dataclasses.field(default_factory=set)

    @property
    def left(self) -> dict[str, tuple[str, int]]:
        """Where it is for those who have no outcome."""
        return {recipient: place for recipient, place in self.places.items() if recipient not in self.ended}

    @property
    def over(self) -> bool:
        """Whether everybody has an outcome."""
        return self.at > 0 and not self.left

    def value(self) -> Value:
        """Return it as the table keeps it."""
        return {
            "customer": self.customer,
            "at": self.at,
            "seen": self.seen,
            "pending": self.pending,
            "places": {recipient: list(place) for recipient, place in self.places.items()},
            "ended": sorted(self.ended),
        }


def opened(value: Mapping[str, Any]) -> Open:
    """Return what `Open.value` was made of."""
    return Open(
        customer=value["customer"],
        at=value["at"],
        seen=value["seen"],
        pending=value["pending"],
        places={recipient: (place, offset) for recipient, (place, offset) in value["places"].items()},
        ended=set(value["ended"]),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Moved:
    """What an event adds to the sums of its customer, in the window in which the message was accepted."""

    customer: str
    at: float
    accepted: int = 0
    ended: int = 0


def message_of(key: str) -> str:
    """Return the id that a record of any of these topics is about."""
    return key.partition("/")[0]


def apply(entry: Open, event: Event | None, offset: int, now: float) -> Moved | None:  # a case an event
    """Note an event (None: a tombstone) about the message, and return what it adds to the sums."""
    entry.seen = now
    match event:
        case Received():
            entry.customer = event.customer
            new = entry.at == 0
            entry.at = event.received_at
            recipients = dict.fromkeys(map(mark, event.envelope.recipients))
            for recipient in recipients:
                entry.places.setdefault(recipient, (_RECEIVED, offset))
            if event.recovered:
                entry.places |= dict.fromkeys(recipients, (_RECEIVED, offset))
            return Moved(event.customer, event.received_at, accepted=len(recipients)) if new else None
        case Pending():
            entry.pending = True
        case Disposition():
            entry.pending = False
            for branch in event.branches:
                entry.places |= {mark(each): (_PLACES[deals(branch)], offset) for each in branch.recipients}
        case Deferred():
            entry.places |= {mark(each): (_DEFERRED, offset) for each in event.recipients}
        case Outcome():
            new_ones = {mark(each) for each in event.recipients} - entry.ended
            entry.ended |= new_ones
            entry.customer = event.customer
            return Moved(event.customer, event.received_at, ended=len(new_ones)) if new_ones else None
        case None:  # it left policy's table or delivery's: what follows is in another topic, and perhaps not read yet
            entry.pending = False
            moving = {each: (_MOVING, offset) for each, (place, _) in entry.places.items() if place == _DEFERRED}
            entry.places |= moving
    return None


def corrected(entry: Open, sight: Sight | None, now: float) -> None:
    """Put right what the topics know better: None means that it has ended, and that was missed here."""
    entry.seen = now
    if sight is None:
        entry.at, entry.ended = entry.at or 1.0, set(entry.places)
        return
    entry.customer, entry.at = sight.received.customer, sight.received.received_at
    entry.pending = sight.pending
    for recipient, where in sight.waits.items():
        if (place := _WAITS.get(where)) is not None:
            entry.places[mark(recipient)] = (place, sight.offset)


def mark(recipient: str) -> str:
    """Return a recipient's checksum."""
    return f"{zlib.crc32(recipient.encode('utf-8', 'replace')):08x}"


def suspects(
    entries: Iterable[tuple[str, Open]],
    committed: Mapping[str, Mapping[Slot, int]],
    partition: int,
    now: float,
) -> list[str]:
    """Return the messages of a partition that nobody seems to hold: the topics themselves are asked about them next."""
    found = []
    for message, entry in entries:
        if entry.seen > now - GRACE or entry.pending or not is_message_id(message):
            continue
        if entry.at == 0:
            if entry.ended and born(message) > now - OLD:
                found.append(message)
            continue
        if any(_left_behind(place, offset, committed, partition) for place, offset in entry.left.values()):
            found.append(message)
    return found


def _left_behind(place: str, offset: int, committed: Mapping[str, Mapping[Slot, int]], partition: int) -> bool:
    if place in {_HELD, _DEFERRED}:
        return False
    if place == _MOVING:
        return True
    group, topic = _MOVERS[place]
    return offset < committed.get(group, {}).get((topic, partition), 0)
