"""Tells how the destinations are, so that `gatepost queue` need not ask any process."""

from __future__ import annotations

import asyncio
import logging

from schemas.catalog import QUEUES, key_of
from schemas.events import Event, QueueState
from services.core.clock import Clock
from services.core.errors import BusUnavailable
from services.delivery.destination import Destination
from services.delivery.queue import Queue
from services.runtime.bus import Bus, Tombstone

log = logging.getLogger("gatepost.delivery")


class Reporter:
    """Publishes on delivery.queues.v1 what this process sees, and takes back what is over."""

    def __init__(self, bus: Bus, queue: Queue, clock: Clock) -> None:
        self._bus = bus
        self._queue = queue
        self._clock = clock
        self._owner = ""
        self._told: set[str] = set()

    async def assigned(self, partitions: frozenset[int]) -> None:
        """Begin to speak for these partitions; what their last owner said is taken back at the next report."""
        self._owner = str(min(partitions)) if partitions else ""
        owners = {str(partition) for partition in partitions}
        said: set[str] = set()
        async for record in self._bus.read(QUEUES):
            if record.key.rpartition("/")[2] in owners:
                (said.discard if record.event is None else said.add)(record.key)
        self._told |= said

    async def run(self, every: float) -> None:
        """Report, for ever. A broker that is away hears of it later."""
        while True:
            await asyncio.sleep(every)
            if self._owner:
                try:
                    await self.report()
                except BusUnavailable as error:
                    log.info("event=report-put-off error=%s", error)

    async def report(self) -> None:
        """Publish every destination that somebody may want to know of. Raises BusUnavailable."""
        now = self._clock.now()
        states = [self._state(one, now) for one in self._queue.destinations if _told_of(one)]
        keys = {key_of(state) for state in states}
        items: list[Event | Tombstone] = [*states, *(Tombstone(QUEUES, key) for key in sorted(self._told - keys))]
        if items:
            await self._bus.publish(items)
        self._told = keys

    def _state(self, one: Destination, now: float) -> QueueState:
        return QueueState(
            customer=one.customer,
            destination=one.where,
            owner=self._owner,
            state=one.state,
            depth=len(one.waiting),
            oldest=self._queue.oldest(one),
            connections=one.gate.inside,
            limit=one.gate.limit,
            reply=one.reply,
            replied_at=one.replied_at,
            probe_at=one.health.probe_at if one.health.down else 0.0,
            held_by=one.held.by if one.held else "",
            held_why=one.held.why if one.held else "",
            at=now,
        )


def _told_of(one: Destination) -> bool:
    return bool(one.waiting) or one.closed or one.state != "open"
