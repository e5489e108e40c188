"""The reaper: deletes a message's object as soon as its last recipient has a terminal outcome (invariant 6).

A recipient for whom the quarantine has a copy of its own needs the object no more than one who is done.

Most messages end in one outcome and leave at once. One that ends in parts waits in the table mail.departed.v1.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from schemas.catalog import DEPARTED
from schemas.events import Departed, Event, Moved, Outcome
from services.core.sealed import is_quarantines
from services.runtime.bus import Bus, Record, Tombstone
from services.runtime.store import Store
from services.runtime.table import Table

log = logging.getLogger("gatepost.reaper")


def departed(before: Departed | None, outcome: Outcome | Moved) -> Departed:
    """Return for whom the object isn't needed any more after this; the same event twice changes nothing."""
    done = {*(before.recipients if before else ()), *outcome.recipients}
    return Departed(id=outcome.id, key=outcome.key, total=outcome.total, recipients=tuple(sorted(done)))


class Reaper:
    """Consumes mail.outcomes.v1 and mail.moved.v1."""

    def __init__(self, bus: Bus, store: Store) -> None:
        self._store = store
        self._table: Table[Departed] = Table(bus, DEPARTED, Departed)

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """Delete the object when nobody waits for it any more; returns nothing to publish."""
        if not isinstance(record.event, Outcome | Moved):
            raise TypeError(f"the reaper does not read {type(record.event).__name__}")
        if is_quarantines(record.event.key):
            return ()  # a sealed object, or a copy that was released: the quarantine deletes what it made
        state = departed(self._table.get(record.event.id), record.event)
        if len(state.recipients) < state.total:
            self._table.put(state)
            return ()
        await self._store.delete(state.key)
        log.debug("id=%s customer=%s event=object-deleted", state.id, record.event.customer)
        self._table.delete(state.id)
        return ()

    async def finished(self, record: Record) -> None:
        """Nothing to let go."""

    async def assigned(self, partitions: frozenset[int]) -> None:
        """Load the messages that are done in part."""
        await self._table.load(partitions)

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Forget them: another member has them now."""
        self._table.drop(partitions)

    async def before_commit(self) -> None:
        """Write them, so that the outcomes behind them may be committed."""
        await self._table.flush()
