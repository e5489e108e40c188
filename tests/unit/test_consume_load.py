"""What a partition needs is loaded beside the group's heartbeats, however long it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from schemas.catalog import RECEIVED
from schemas.events import Event
from services.core.clock import ManualClock
from services.runtime.bus import Record, Tombstone
from services.runtime.consume import Consumer
from services.runtime.fakes import MemoryBus
from tests.eventually import eventually
from tests.samples import NOW


class Slow:
    """A service that loads until it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.loads: list[str] = []

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:  # noqa: ARG002 - nothing comes of it
        return ()

    async def finished(self, record: Record) -> None:
        """See `bus.Service`."""

    async def before_commit(self) -> None:
        """See `bus.Service`."""

    async def assigned(self, partitions: frozenset[int]) -> None:  # noqa: ARG002 - it has nothing to load
        self.loads.append("begun")
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.loads.append("ended")
            raise
        self.loads.append("done")

    async def revoked(self, partitions: frozenset[int]) -> None:
        """See `bus.Service`."""


async def test_the_group_goes_on_while_a_load_takes_its_time() -> None:
    clock = ManualClock(NOW)
    bus, service = MemoryBus(clock), Slow()
    consumer = Consumer("slow", bus.source("slow", (RECEIVED,)), service, bus, clock)
    slots = frozenset({(RECEIVED.name, 0)})
    await consumer.assigned(slots)  # returns at once: no heartbeat is sent before
    await eventually(lambda: service.loads == ["begun"])
    await consumer.revoked()
    assert service.loads == ["begun", "ended"]
    await consumer.assigned(slots)
    service.let.set()
    await eventually(consumer.assigned_once.is_set)
    assert service.loads == ["begun", "ended", "begun", "done"]
    await consumer.revoked()
