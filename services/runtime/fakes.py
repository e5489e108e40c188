"""A broker in memory: the real ports, one process, faults on demand. It passes the contract tests that Kafka passes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping

from schemas import wire
from schemas.catalog import BY_STRUCT, Topic, key_of, partition_count, partition_of
from schemas.events import Event
from services.core.clock import Clock, SystemClock
from services.core.errors import BusUnavailable
from services.runtime import cut
from services.runtime.bus import MARK, Record, Tombstone
from services.runtime.consume import decode
from services.runtime.membership import Membership
from services.runtime.patience import FAREWELL, Patience
from services.runtime.source import Left, Listener, Raw, Slot
from services.runtime.tracing import TRACING


class MemoryBus:
    """A log of every topic.

    `down` set: nothing is taken and nothing is read. `lose_acks` set: what is published lands, and the caller hears
    BusUnavailable all the same, as after a time-out. `silent` set: it takes every call and answers none, as a broker
    does that is stopped in its tracks. `behind`: who reads and is not `sure` misses so many records of each partition,
    as with a broker that was paused and still takes itself for the leader.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.down = False
        self.lose_acks = False
        self.silent = False
        self.behind = 0
        self.session = float("inf")
        self.patience = Patience()
        self.logs: dict[Slot, list[Raw]] = defaultdict(list)
        self.offsets: dict[tuple[str, Slot], int] = {}
        self.notes: dict[tuple[str, Slot], str] = {}
        self.groups: dict[str, list[MemorySource]] = defaultdict(list)
        self.grown = asyncio.Condition()
        self._partitions = partition_count()  # as the topics were provisioned
        self._clock = clock or SystemClock()

    def hurry(self, within: float = FAREWELL) -> None:
        """See `kafka.KafkaBus.hurry`."""
        self.patience.hurry(within)

    async def check(self, *, within: float = 3.0) -> None:
        """See `kafka.KafkaBus.check`."""
        await self.answer(within)
        if self.down:
            raise BusUnavailable("down, by order of the test")

    async def answer(self, within: float) -> None:
        """Return at once, unless the broker is silent: then raise BusUnavailable when the caller's time is up."""
        await asyncio.sleep(0)
        if not self.silent:
            return
        try:
            async with self.patience.within(within):
                await asyncio.Event().wait()
        except TimeoutError as error:
            raise BusUnavailable("silent, by order of the test") from error

    async def publish(self, items: Iterable[Event | Tombstone], *, within: float = 10.0) -> None:
        """See `bus.Bus.publish`."""
        await self.answer(within)
        if self.down:
            raise BusUnavailable("down, by order of the test")
        cut.require(self._partitions)
        for item in items:
            if isinstance(item, Tombstone):
                topic, key, value = item.topic, item.key, None
            else:
                topic, key, value = BY_STRUCT[type(item)], key_of(item), wire.encode(item)
            self.append(topic, key, value)
        async with self.grown:
            self.grown.notify_all()
        if self.lose_acks:
            raise BusUnavailable("acknowledgement lost, by order of the test")

    def append(self, topic: Topic, key: str, value: bytes | None) -> None:
        """Put raw bytes at the end of a topic; tests bring unreadable records in this way."""
        self._put(topic, partition_of(key, topic.partitions), key, value)

    def _put(self, topic: Topic, partition: int, key: str, value: bytes | None) -> None:
        records = self.logs[topic.name, partition]
        headers = tuple(TRACING.headers())
        records.append(Raw(topic.name, partition, len(records), key.encode(), value, self._clock.now(), headers))

    def events(self, topic: Topic) -> list[Event]:
        """Return every event that the topic holds, for assertions."""
        slots = [(topic.name, partition) for partition in range(topic.partitions)]
        records = [decode(raw) for slot in slots for raw in self.logs[slot]]
        return [record.event for record in records if record.event is not None]

    async def read(
        self, topic: Topic, partitions: Iterable[int] | None = None, *, tail: int | None = None, sure: bool = False
    ) -> AsyncIterator[Record]:
        """See `bus.Bus.read`."""
        async for raw in self.read_raw(topic, partitions, tail=tail, sure=sure):
            yield decode(raw)

    async def read_raw(
        self, topic: Topic, partitions: Iterable[int] | None = None, *, tail: int | None = None, sure: bool = False
    ) -> AsyncIterator[Raw]:
        """See `bus.Bus.read_raw`."""
        if self.down:
            raise BusUnavailable("down, by order of the test")
        cut.require(self._partitions)
        for partition in range(topic.partitions) if partitions is None else partitions:
            records = list(self.logs[topic.name, partition])
            if sure:
                self._put(topic, partition, MARK, None)
            elif self.behind:
                records = records[: -self.behind]
            for raw in records if tail is None else records[max(0, len(records) - tail) :]:
                yield raw

    async def follow(self, topic: Topic, caught_up: asyncio.Event) -> AsyncIterator[Record]:
        """See `bus.Bus.follow`."""
        at = dict.fromkeys(range(topic.partitions), 0)
        while True:
            for partition in at:
                records = self.logs[topic.name, partition]
                while at[partition] < len(records):
                    yield decode(records[at[partition]])
                    at[partition] += 1
            caught_up.set()
            async with self.grown:
                await self.grown.wait()

    def source(
        self,
        group: str,
        topics: Iterable[Topic],
        *,
        gather: float = 0.0,  # noqa: ARG002 - nothing is gathered here
        from_now: bool = False,
        membership: Membership | None = None,
    ) -> MemorySource:
        """Return a member of the group for these topics, not yet joined; see `kafka.KafkaBus.source`."""
        return MemorySource(self, group, tuple(topics), from_now=from_now, membership=membership)


class MemorySource:
    """One member of a group on the MemoryBus. Joining and leaving rebalances eagerly, as Kafka does."""

    def __init__(
        self,
        bus: MemoryBus,
        group: str,
        topics: tuple[Topic, ...],
        *,
        from_now: bool = False,
        membership: Membership | None = None,
    ) -> None:
        self._bus = bus
        self._membership = membership
        self._from_now = from_now
        self._group = group
        self._topics = topics
        self._listener: Listener | None = None
        self._at: dict[Slot, int] = {}
        self._paused = False

    async def start(self, listener: Listener) -> None:
        """See `source.Source.start`."""
        if self._bus.silent:
            await asyncio.Event().wait()  # a group that forms is waited for without a limit
        if self._bus.down:
            raise BusUnavailable("down, by order of the test")
        self._listener = listener
        self._bus.groups[self._group].append(self)
        await self._rebalance()

    async def _rebalance(self) -> None:
        members = self._bus.groups[self._group]
        for member in members:
            if member._listener is not None and member._at:
                await member._listener.revoked()
        for index, member in enumerate(members):
            slots = frozenset(
                (topic.name, partition)
                for topic in member._topics
                for partition in range(topic.partitions)
                if partition % len(members) == index
            )
            if member._from_now:
                for slot in slots:
                    self._bus.offsets.setdefault((member._group, slot), len(self._bus.logs[slot]))
            member._at = {slot: self._bus.offsets.get((self._group, slot), 0) for slot in slots}
            if member._listener is not None:
                await member._assigned(member._listener, slots)

    async def _assigned(self, listener: Listener, slots: frozenset[Slot]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await listener.assigned(slots)
            if loop.time() - began <= self._bus.session:
                return
            await listener.revoked()
            self._at = {slot: self._bus.offsets.get((self._group, slot), 0) for slot in slots}

    async def poll(self, within: float, limit: int) -> list[Raw]:
        """See `source.Source.poll`."""
        if self._membership is not None and not (self._bus.down or self._bus.silent):
            self._membership.confirm(asyncio.get_running_loop().time(), self._bus.session)
        batch = self._take(limit)
        if not batch and within > 0:
            try:
                async with asyncio.timeout(within), self._bus.grown:
                    await self._bus.grown.wait()
            except TimeoutError:
                return []
            batch = self._take(limit)
        return batch

    def _take(self, limit: int) -> list[Raw]:
        batch: list[Raw] = []
        if self._paused or self._bus.down or self._bus.silent:
            return batch
        for slot in self._at:
            part = self._bus.logs[slot][self._at[slot] :][: limit - len(batch)]
            self._at[slot] += len(part)
            batch += part
        return batch

    async def commit(self, positions: Mapping[Slot, int], notes: Mapping[Slot, str] | None = None) -> bool:
        """See `source.Source.commit`."""
        try:
            await self._bus.answer(10.0)
        except BusUnavailable:
            return False
        if self._bus.down or not positions.keys() <= self._at.keys():
            return False
        for slot, offset in positions.items():
            self._bus.offsets[self._group, slot] = offset
            self._bus.notes[self._group, slot] = (notes or {}).get(slot, "")
        return True

    async def left(self, slots: Iterable[Slot]) -> dict[Slot, Left]:
        """See `source.Source.left`."""
        if self._bus.down:
            raise BusUnavailable("down, by order of the test")
        return {
            slot: Left(
                self._bus.offsets.get((self._group, slot), 0),
                self._bus.notes.get((self._group, slot), ""),
                len(self._bus.logs[slot]),
            )
            for slot in slots
        }

    def lag(self) -> Mapping[str, int]:
        """See `source.Source.lag`."""
        found: dict[str, int] = defaultdict(int)
        for slot, at in self._at.items():
            found[slot[0]] += len(self._bus.logs[slot]) - at
        return found

    def pause(self) -> None:
        """See `source.Source.pause`."""
        self._paused = True

    def resume(self) -> None:
        """See `source.Source.resume`."""
        self._paused = False

    async def stop(self) -> None:
        """See `source.Source.stop`."""
        if self in self._bus.groups[self._group]:
            self._bus.groups[self._group].remove(self)
            self._at = {}
            await self._rebalance()

    def crash(self) -> None:
        """Vanish without commit or farewell, as a SIGKILL does; the group learns of it at the next rebalance."""
        self._bus.groups[self._group].remove(self)
        self._listener = None
        self._at = {}
