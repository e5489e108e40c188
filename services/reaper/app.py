"""The reaper: deletes a message's object as soon as its last recipient has a terminal outcome (invariant 6).

A recipient for whom the quarantine has a copy of its own needs the object no more than one who is done.

Most messages end in one outcome and leave at once. One that ends in parts waits in the table mail.departed.v1.

A customer may have copies kept for some hours, so that a replay can look at them. They lie under keys of their own: for
the mail path the object is gone all the same, and nothing that looks for mail in the store finds them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from schemas.catalog import DEPARTED
from schemas.events import Customer, Departed, Event, Moved, Outcome, State
from services.core.clock import Clock, SystemClock
from services.core.customers import RETENTION_HOURS_MOST
from services.core.errors import ObjectNotFound, StoreUnavailable
from services.core.sealed import is_quarantines
from services.core.stored import kept_key
from services.core.waiting import happens
from services.runtime.bus import Bus, Record, Tombstone
from services.runtime.store import Store
from services.runtime.table import Table

log = logging.getLogger("gatepost.reaper")

SWEEP_EVERY: Final = 600.0  # seconds between looks for copies whose time is up
HOUR: Final = 3_600.0


def departed(before: Departed | None, outcome: Outcome | Moved) -> Departed:
    """Return for whom the object isn't needed any more after this; the same event twice changes nothing."""
    done = {*(before.recipients if before else ()), *outcome.recipients}
    return Departed(id=outcome.id, key=outcome.key, total=outcome.total, recipients=tuple(sorted(done)))


class Reaper:
    """Consumes mail.outcomes.v1 and mail.moved.v1."""

    def __init__(
        self,
        bus: Bus,
        store: Store,
        customer: Callable[[str], Customer | None] = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        """`customer` looks a customer up by id: those who want copies kept say so."""
        self._store = store
        self._customer = customer
        self._clock = clock or SystemClock()
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
        # What the quarantine has sealed leaves no plain copy behind.
        ended = isinstance(record.event, Outcome) and record.event.state is not State.WITHDRAWN
        if ended and self._hours(record.event.customer):
            await self._keep(state.key)
        await self._store.delete(state.key)
        log.debug("id=%s customer=%s event=object-deleted", state.id, record.event.customer)
        self._table.delete(state.id)
        return ()

    def _hours(self, customer: str) -> float:
        found = self._customer(customer)
        return 0.0 if found is None else min(found.retention_hours, RETENTION_HOURS_MOST)

    async def _keep(self, key: str) -> None:
        try:
            data = await self._store.get(key)
        except ObjectNotFound:
            return  # deleted, and kept, before a crash
        await self._store.put(kept_key(key), [data])

    async def sweep(self) -> int:
        """Delete every copy whose time is up, by what its customer wants now; return how many. StoreUnavailable."""
        now, gone = self._clock.now(), 0
        async for stat in self._store.list("kept"):
            customer = stat.key.split("/")[1]
            if stat.modified + self._hours(customer) * HOUR <= now:
                await self._store.delete(stat.key)
                gone += 1
        return gone

    async def expire(self, stop: asyncio.Event) -> None:
        """Sweep until `stop` is set; what can't be done now is done at a later look."""
        while not stop.is_set():
            try:
                if gone := await self.sweep():
                    log.info("event=kept-copies-deleted objects=%d", gone)
            except StoreUnavailable as error:
                log.warning("event=sweep-put-off error=%s", error)
            await happens(stop, SWEEP_EVERY)

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
