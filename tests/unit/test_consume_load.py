"""What partitions need is loaded beside the group's heartbeats, and what was read for others is nobody's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from schemas.catalog import RECEIVED, VERDICTS, partition_of
from schemas.events import Event, Received
from services.core.clock import ManualClock
from services.core.errors import LoadFailed, ObjectCorrupt
from services.policy.app import message_of
from services.runtime.bus import Record, Tombstone
from services.runtime.consume import Consumer
from services.runtime.fakes import MemoryBus
from tests.eventually import eventually
from tests.samples import NOW, received, verdict

SLOT = (RECEIVED.name, 0)


class Slow:
    """A service whose loads last until the test lets them, and whose records take as long as it says."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.loads: list[str] = []
        self.failure: Exception | None = None
        self.handled: list[str] = []
        self.suspects: set[str] = set()
        self.stuck: dict[str, asyncio.Event] = {}

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        self.handled.append(record.key)
        if record.suspect:
            self.suspects.add(record.key)
        if record.key in self.stuck:
            await self.stuck[record.key].wait()
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
        if self.failure is not None:
            raise self.failure
        self.loads.append("done")

    async def revoked(self, partitions: frozenset[int]) -> None:  # noqa: ARG002 - it has nothing to forget
        self.loads.append("revoked")


class House:
    """A member of a group on a broker in memory."""

    def __init__(self, *, announce: bool = False, bus: MemoryBus | None = None) -> None:
        self.bus = bus or MemoryBus(ManualClock(NOW))
        self.service = Slow()
        self.stop = asyncio.Event()
        self.source = self.bus.source("slow", (RECEIVED,))
        self.consumer = Consumer("slow", self.source, self.service, self.bus, ManualClock(NOW), announce=announce)

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.consumer.run(self.stop))

    async def end(self, task: asyncio.Task[None]) -> None:
        self.stop.set()
        await asyncio.wait_for(task, 10)


def lying_in(partition: int) -> Received:
    """Return a message whose record lies in that partition."""
    return next(one for one in iter(received, None) if partition_of(one.id, RECEIVED.partitions) == partition)


async def test_a_load_that_takes_longer_than_a_session_comes_to_its_end() -> None:
    """The trap: awaited in the listener, it lost its partitions each time and began anew for ever."""
    house = House()
    house.bus.session = 0.1
    task = house.start()
    message = received()
    await house.bus.publish([message])
    await asyncio.sleep(0.4)  # several sessions; nothing may be handled, nor the load begin anew
    assert house.service.loads == ["begun"]
    assert house.service.handled == []
    house.service.let.set()
    await eventually(lambda: house.service.handled == [message.id])
    assert house.service.loads == ["begun", "done"]
    await house.end(task)


async def test_a_load_for_partitions_that_move_is_cancelled_and_begins_for_the_new_ones() -> None:
    house = House()
    task = house.start()
    await eventually(lambda: house.service.loads == ["begun"])
    other = House(bus=house.bus)
    beside = other.start()
    await eventually(lambda: house.service.loads == ["begun", "ended", "revoked", "begun"])
    house.service.let.set()
    other.service.let.set()
    await eventually(house.consumer.assigned_once.is_set)
    await other.end(beside)
    await house.end(task)
    assert house.service.loads[-2:] == ["done", "revoked"]


async def test_a_stop_ends_a_load() -> None:
    house = House()
    task = house.start()
    await house.bus.publish([received()])
    await eventually(lambda: house.service.loads == ["begun"])
    await house.end(task)
    assert house.service.loads == ["begun", "ended", "revoked"]
    assert house.service.handled == []


async def test_a_load_that_fails_ends_the_consumer_and_says_why() -> None:
    house = House()
    house.service.failure = ObjectCorrupt("a table that nobody can read")
    house.service.let.set()
    await house.bus.publish([received()])
    with pytest.raises(LoadFailed, match=r"slow could not load .*ObjectCorrupt: a table that nobody can read"):
        await asyncio.wait_for(house.start(), 10)
    assert house.service.handled == []


async def test_what_was_read_before_the_partitions_moved_is_not_handled_after() -> None:
    """The trap: it comes again from the last commit. Handled before that, it came out of order and twice."""
    house = House()
    consumer, service = house.consumer, house.service
    service.let.set()
    await consumer.assigned(frozenset({SLOT}))
    await eventually(consumer.assigned_once.is_set)
    message = lying_in(0)
    await house.bus.publish([message])
    batch = list(house.bus.logs[SLOT])
    service.let.clear()
    await consumer.revoked()
    beginning = asyncio.create_task(consumer._begin_all(batch))  # read in the new turn: it is ours
    await asyncio.sleep(0)
    await consumer.assigned(frozenset({SLOT}))
    await consumer.revoked()  # and nobody's now
    await consumer.assigned(frozenset({SLOT}))
    service.let.set()
    await asyncio.wait_for(beginning, 10)
    assert service.handled == []
    await consumer.revoked()


async def test_what_an_owner_did_not_come_to_stays_suspect() -> None:
    """The trap: a clean end took the note of the killed owner back, also for records that nobody had looked at."""
    first = House(announce=True)
    first.service.let.set()
    messages = [lying_in(0) for _ in range(3)]
    first.service.stuck = {messages[0].id: asyncio.Event()}
    killed = first.start()
    await first.bus.publish(messages)
    await eventually(lambda: len(first.service.handled) == 3)
    first.source.crash()
    for task in first.consumer._tasks:
        task.cancel()
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    second = House(announce=True, bus=first.bus)  # ends before its load is done
    task = second.start()
    await eventually(lambda: second.service.loads == ["begun"])
    await second.end(task)
    third = House(announce=True, bus=first.bus)
    third.service.let.set()
    task = third.start()
    await eventually(lambda: len(third.service.handled) == 3)
    await third.end(task)
    assert third.service.suspects == {message.id for message in messages}


async def test_a_verdict_is_committed_with_its_message_and_not_before() -> None:
    """The trap: after a crash the message alone came again, decided long ago, and waited for verdicts for ever."""
    bus, service, stop = MemoryBus(ManualClock(NOW)), Slow(), asyncio.Event()
    service.let.set()
    before, message = lying_in(0), lying_in(0)
    service.stuck = {before.id: asyncio.Event()}
    source = bus.source("slow", (RECEIVED, VERDICTS))
    consumer = Consumer("slow", source, service, bus, ManualClock(NOW), tied_to=message_of)
    task = asyncio.create_task(consumer.run(stop))
    early = verdict(lying_in(0), "auth", origin=-1)  # of no message in the topic: tied to nothing
    await bus.publish([before, message, early, verdict(message, "auth", origin=1)])
    await eventually(lambda: len(service.handled) == 4)
    at = ("slow", (VERDICTS.name, 0))
    await eventually(lambda: bus.offsets.get(at) == 1)
    await asyncio.sleep(0.7)  # a commit and more
    assert bus.offsets[at] == 1
    service.stuck[before.id].set()
    await eventually(lambda: bus.offsets[at] == 2)
    assert bus.offsets["slow", SLOT] == 2
    stop.set()
    await asyncio.wait_for(task, 10)
