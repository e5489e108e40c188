"""A stretch of the log, read from one time to another: a Source for the consume loop, and for whoever only looks.

It belongs to no group: partitions are assigned, nothing is committed, and the client has no producer. So whatever runs
on it leaves no trace in the broker, not even an offset, and two of them never get in each other's way.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from heapq import heappop, heappush, heapreplace
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.catalog import Topic
from services.core.errors import BusUnavailable, ConfigError
from services.runtime import cut
from services.runtime.kafka_security import client_settings
from services.runtime.source import Left, Listener, Raw, Slot

FETCH_BYTES = 262_144  # of a partition at a time: what the broker reads for us must not push live traffic aside
STALL = 30.0  # seconds without a record after which reading to the end is given up


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """What to read of a topic: records from `since` to before `until`, by the producer's clock; None: all there are."""

    topic: Topic
    since: float | None = None
    until: float | None = None
    tail: int | None = None  # only so many of the last records of each partition


class Window(Protocol):
    """A `source.Source` that comes to an end. Implementations: `KafkaWindow` and `fakes_window.MemoryWindow`."""

    exhausted: asyncio.Event  # set once everything was handed out; never with `follow`

    async def start(self, listener: Listener) -> None:
        """See `source.Source.start`."""
        ...

    async def poll(self, within: float, limit: int) -> list[Raw]:
        """See `source.Source.poll`. Records come in the order of their times, over all topics and partitions."""
        ...

    async def commit(self, positions: Mapping[Slot, int], notes: Mapping[Slot, str] | None = None) -> bool:
        """Return True, and write nothing anywhere."""
        ...

    async def left(self, slots: Iterable[Slot]) -> dict[Slot, Left]:
        """Return nothing: a window has no owners."""
        ...

    def lag(self) -> Mapping[str, int]:
        """Return nothing: it belongs to no group that could be behind."""
        ...

    def pause(self) -> None:
        """See `source.Source.pause`."""
        ...

    def resume(self) -> None:
        """See `source.Source.resume`."""
        ...

    async def stop(self) -> None:
        """Let go of the connection."""
        ...


class Merge:
    """Puts the records of several partitions in the order of their times, with a batch of each in memory at most."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = list(slots)
        self._order = {slot: number for number, slot in enumerate(slots)}
        self._heads: dict[Slot, deque[Raw]] = {slot: deque() for slot in slots}
        self._open = set(slots)  # may still bring records
        self._lacking = set(slots)  # those of them whose next record isn't known yet
        self._next: list[tuple[float, int]] = []  # a heap: when the next record of each slot was, and the slot's number

    def add(self, slot: Slot, records: Sequence[Raw]) -> None:
        """Take what a partition brought."""
        heads = self._heads[slot]
        if records and not heads:
            heappush(self._next, (records[0].timestamp, self._order[slot]))
            self._lacking.discard(slot)
        heads.extend(records)

    def close(self, slot: Slot) -> None:
        """The partition brings nothing more."""
        self._open.discard(slot)
        self._lacking.discard(slot)

    def lacking(self) -> list[Slot]:
        """Return the partitions whose next record isn't known yet."""
        return list(self._lacking)

    @property
    def done(self) -> bool:
        """Whether everything was taken."""
        return not self._open and not self._next

    def take(self, limit: int, *, hasty: bool = False) -> list[Raw]:
        """Return the next records; unless `hasty`, none that one which isn't here yet might precede."""
        batch: list[Raw] = []
        while len(batch) < limit and self._next and (hasty or not self._lacking):
            _, number = self._next[0]
            slot = self._slots[number]
            heads = self._heads[slot]
            batch.append(heads.popleft())
            if heads:
                heapreplace(self._next, (heads[0].timestamp, number))
                continue
            heappop(self._next)
            if slot in self._open:
                self._lacking.add(slot)
        return batch


class KafkaWindow:
    """A window on Apache Kafka."""

    def __init__(self, bootstrap: str, client: str, spans: Sequence[Span], *, follow: bool = False) -> None:
        """`follow`: go on with what comes after, for ever."""
        self.exhausted = asyncio.Event()
        self._bootstrap = bootstrap
        self._client = client
        self._spans = spans
        self._follow = follow
        self._consumer: AIOKafkaConsumer | None = None
        self._ends: dict[TopicPartition, int] = {}
        self._merge = Merge(())
        self._paused = False

    async def start(self, listener: Listener | None = None) -> None:
        """See `source.Source.start`."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id=self._client,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            request_timeout_ms=10_000,
            metadata_max_age_ms=30_000,
            **client_settings(),
        )
        try:
            await consumer.start()
            await cut.require_of(consumer._client)
            slots = await self._place(consumer)
        except ConfigError:
            await consumer.stop()
            raise
        except (KafkaError, TimeoutError, OSError) as error:
            await consumer.stop()
            raise BusUnavailable(f"{self._bootstrap}: {error or type(error).__name__}") from error
        self._consumer = consumer
        self._merge = Merge(slots)
        await self._close_read()
        if listener is not None:
            await listener.assigned(frozenset(slots))

    async def _place(self, consumer: AIOKafkaConsumer) -> list[Slot]:
        parts = {
            span: [TopicPartition(span.topic.name, p) for p in range(span.topic.partitions)] for span in self._spans
        }
        every = [part for some in parts.values() for part in some]
        consumer.assign(every)
        first, last = await consumer.beginning_offsets(every), await consumer.end_offsets(every)
        for span, some in parts.items():
            starts = await _at(consumer, some, span.since)
            ends = await _at(consumer, some, span.until)
            for part in some:
                self._ends[part] = end = min(ends.get(part, last[part]), last[part])
                start = first[part] if span.since is None else starts.get(part, last[part])
                start = start if span.tail is None else max(start, end - span.tail)
                consumer.seek(part, max(start, first[part]))
        return [(part.topic, part.partition) for part in every]

    async def poll(self, within: float, limit: int) -> list[Raw]:
        """See `Window.poll`."""
        if self._consumer is None:
            raise BusUnavailable("not started")
        if self._paused or self.exhausted.is_set():
            await asyncio.sleep(min(within, 0.05))  # whoever polls in a loop must let others have their turn
            return []
        if lacking := [TopicPartition(*slot) for slot in self._merge.lacking()]:
            try:
                async with asyncio.timeout(within + 1.0):
                    batch = await self._consumer.getmany(*lacking, timeout_ms=int(within * 1000))
            except TimeoutError:
                return []
            except KafkaError as error:
                raise BusUnavailable(f"{type(error).__name__}: {error}") from error
            for part, records in batch.items():
                wanted = [_raw(record) for record in records if self._follow or record.offset < self._ends[part]]
                self._merge.add((part.topic, part.partition), wanted)
            await self._close_read()
        taken = self._merge.take(limit, hasty=self._follow)
        if self._merge.done:
            self.exhausted.set()
        return taken

    async def _close_read(self) -> None:
        if self._follow or self._consumer is None:
            return
        for slot in self._merge.lacking():
            # Not by the last record seen: compaction leaves gaps, and the end may lie in one.
            if await self._consumer.position(TopicPartition(*slot)) >= self._ends[TopicPartition(*slot)]:
                self._merge.close(slot)

    async def commit(self, positions: Mapping[Slot, int], notes: Mapping[Slot, str] | None = None) -> bool:  # noqa: ARG002 - a window has no group to tell
        """See `Window.commit`."""
        return True

    async def left(self, slots: Iterable[Slot]) -> dict[Slot, Left]:  # noqa: ARG002 - as above
        """See `Window.left`."""
        return {}

    def lag(self) -> Mapping[str, int]:
        """Return nothing: it belongs to no group that could be behind."""
        return {}

    def pause(self) -> None:
        """See `source.Source.pause`."""
        self._paused = True

    def resume(self) -> None:
        """See `source.Source.resume`."""
        self._paused = False

    async def stop(self) -> None:
        """See `Window.stop`."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def records(self) -> AsyncIterator[Raw]:
        """Yield every record of the window, then let go; raise BusUnavailable when its end can't be reached."""
        await self.start()
        quiet = 0.0
        try:
            while not self.exhausted.is_set():
                batch = await self.poll(0.5, 500)
                for raw in batch:
                    yield raw
                quiet = 0.0 if batch or self._follow else quiet + 0.5
                if quiet > STALL and not self.exhausted.is_set():
                    raise BusUnavailable(f"{self._bootstrap}: no record within {STALL:.0f} s")
        finally:
            await self.stop()


async def _at(consumer: AIOKafkaConsumer, parts: list[TopicPartition], when: float | None) -> dict[TopicPartition, int]:
    """Return the offset of the first record at or after a time, for the partitions that have one."""
    if when is None:
        return {}
    found = await consumer.offsets_for_times(dict.fromkeys(parts, max(0, int(when * 1000))))
    return {part: entry.offset for part, entry in found.items() if entry is not None}


def _raw(record: Any) -> Raw:  # noqa: ANN401 - aiokafka ships no types
    return Raw(record.topic, record.partition, record.offset, record.key or b"", record.value, record.timestamp / 1000)
