"""What a member loads may take longer than the group's session, on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from schemas.catalog import RECEIVED
from schemas.events import Event
from services.core.clock import SystemClock
from services.core.errors import BusUnavailable
from services.runtime.bus import Record, Stateless, Tombstone
from services.runtime.consume import Consumer
from services.runtime.kafka import KafkaBus
from services.runtime.membership import Membership
from tests.eventually import eventually
from tests.samples import received

SESSION_MS = 6_000  # the shortest that the broker allows
LOAD = 9.0  # seconds


class Slow(Stateless):
    """Loads for longer than a session, as a process does for which a million messages wait."""

    def __init__(self) -> None:
        self.loads = 0
        self.loaded = asyncio.Event()
        self.let_go = 0
        self.early: list[str] = []
        self.handled: set[str] = set()

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        if not self.loaded.is_set():
            self.early.append(record.key)
        self.handled.add(record.key)
        return ()

    async def assigned(self, partitions: frozenset[int]) -> None:  # noqa: ARG002 - all that counts is how long it takes
        self.loads += 1
        await asyncio.sleep(LOAD)
        self.loaded.set()

    async def revoked(self, partitions: frozenset[int]) -> None:  # noqa: ARG002 - as above
        self.let_go += 1


async def test_a_load_longer_than_the_session_loses_no_partition_and_nothing_is_handled_before(kafka: str) -> None:
    """The trap: no heartbeat was sent while it loaded; the partitions were lost, and it began anew for ever."""
    bus = KafkaBus(kafka, "slow-load", session_ms=SESSION_MS)
    service, stop, message = Slow(), asyncio.Event(), received()
    group = f"slow-{message.id}"
    await bus.publish([message])
    membership = Membership()
    source = bus.source(group, (RECEIVED,), membership=membership)
    consumer = Consumer(group, source, service, bus, SystemClock())
    running = asyncio.create_task(consumer.run(stop))
    try:
        await eventually(lambda: message.id in service.handled, 40)
        assert service.loads == 1
        assert service.let_go == 0
        assert service.early == []
        await membership.sure(within=5.0)  # heartbeats go out, and confirm it
        stop.set()
        await asyncio.wait_for(running, 20)
        assert service.let_go == 1
        await asyncio.sleep(SESSION_MS / 2_000)  # for that long the last heartbeat was good
        with pytest.raises(BusUnavailable):
            await membership.sure(within=0.0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bus.close()
