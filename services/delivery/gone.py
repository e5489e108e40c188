"""A message whose object is gone: it has ended, or its sender was told 451 and its event landed all the same.

The door takes the object back before it answers 451, and the reaper takes it once everybody has an outcome. So outcomes
that are read after the object was found missing tell which of the two it was: what the reaper read is among them.
"""

from __future__ import annotations

import msgspec

from schemas.catalog import OUTCOMES, partition_of
from schemas.events import Deferred, Outcome, State
from services.delivery.decide import Concluded, ended
from services.runtime.bus import Bus

WITHIN = 600.0  # seconds after the decision in which a door may still have taken the object back
SKEW = 60.0  # seconds by which the clocks of two producers may differ
TAIL = 50_000  # outcomes of a partition that are looked through
REPLY = "the sender was told 451, and the message is gone"


def may_be_withdrawn(entry: Deferred, now: float) -> bool:
    """Return whether nothing but the door can have taken the object.

    What was tried before had an object after it was accepted; what was stored again, released, or written by ourselves
    was never refused at the door. Of these, and of what is older, a missing object is a loss: no outcome hides it.
    """
    disposition = entry.disposition
    received = disposition.received
    ours = bool(received.own or received.bounce_of or received.recovered or disposition.release)
    tried = bool(entry.attempts or entry.under_way or entry.possible_duplicate)
    return not ours and not tried and now - disposition.decided_at <= WITHIN


async def withdrawn(bus: Bus, entry: Deferred, now: float) -> Concluded:
    """Return the end of an entry whose object was found missing: for whoever has none yet, if that is certain.

    Raises BusUnavailable.
    """
    if not may_be_withdrawn(entry, now):
        return Concluded((), None)
    received = entry.disposition.received
    done: set[str] = set()
    count = 0
    oldest = now
    async for record in bus.read(OUTCOMES, [partition_of(received.id, OUTCOMES.partitions)], tail=TAIL):
        count += 1
        oldest = min(oldest, record.timestamp)
        if isinstance(record.event, Outcome) and record.event.id == received.id:
            done.update(record.event.recipients)
    left = tuple(recipient for recipient in entry.recipients if recipient not in done)
    if not left or (count >= TAIL and oldest > received.received_at - SKEW):
        return Concluded((), None)
    return ended(msgspec.structs.replace(entry, recipients=left), now, State.WITHDRAWN, REPLY)
