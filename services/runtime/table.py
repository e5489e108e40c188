"""State that survives: a dictionary whose changes go to a compacted topic before the offsets behind them are committed.

A key that comes and goes between two commits never reaches the topic, so in good times a table costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar, cast

from schemas.catalog import Topic, key_of, partition_of
from schemas.events import Event
from services.runtime import metrics
from services.runtime.bus import Bus, Tombstone

E = TypeVar("E", bound=Event)


class Table(Generic[E]):
    """One compacted topic as a dictionary, for the partitions that this process owns."""

    def __init__(self, bus: Bus, topic: Topic, struct: type[E]) -> None:
        if topic.struct is not struct:
            raise TypeError(f"{topic.name} holds {topic.struct.__name__}")
        self._bus = bus
        self._topic = topic
        self._live: dict[str, E] = {}
        self._written: set[str] = set()  # keys that the topic has
        self._dirty: set[str] = set()  # keys that changed since the last flush

    def get(self, key: str) -> E | None:
        """Return the event under the key, None when there is none."""
        return self._live.get(key)

    def put(self, event: E) -> None:
        """Set the event under its key; durable at the next flush."""
        key = key_of(event)
        self._live[key] = event
        self._dirty.add(key)

    def delete(self, key: str) -> None:
        """Take the key out; one that isn't there is fine."""
        if self._live.pop(key, None) is not None or key in self._written:
            self._dirty.add(key)

    def items(self) -> Iterator[tuple[str, E]]:
        """Yield a copy of what is there: the table may change meanwhile."""
        return iter(list(self._live.items()))

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, key: str) -> bool:
        return key in self._live

    def partition_of(self, key: str) -> int:
        """Return the partition that the key belongs to."""
        return partition_of(key, self._topic.partitions)

    async def load(self, partitions: Iterable[int]) -> None:
        """Read the partitions from the topic; raise BusUnavailable when that can't be done to the end.

        Nothing of it is there before all of it is: what was deleted since would be taken for what waits.
        """
        loaded: dict[str, E] = {}
        async for record in self._bus.read(self._topic, sorted(partitions), sure=True):
            if record.event is None:
                loaded.pop(record.key, None)
            else:
                loaded[record.key] = cast("E", record.event)
        self._live |= loaded
        self._written |= loaded.keys()

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget the partitions: they are somebody else's now."""
        gone = set(partitions)
        for keys in (self._live, self._written, self._dirty):
            for key in [key for key in keys if self.partition_of(key) in gone]:
                if isinstance(keys, dict):
                    del keys[key]
                else:
                    keys.discard(key)

    async def flush(self) -> None:
        """Write what changed and return when it is acknowledged; when that fails or is cancelled, it stays due."""
        metrics.WAITING.labels(self._topic.name).set(len(self._live))
        dirty, self._dirty = self._dirty, set()
        items: list[Event | Tombstone] = []
        for key in dirty:
            if (event := self._live.get(key)) is not None:
                items.append(event)
            elif key in self._written:
                items.append(Tombstone(self._topic, key))
        if not items:
            return
        # Before it is acknowledged: it may land though nobody hears of it, and then only a tombstone takes it out.
        self._written |= {key_of(item) for item in items if not isinstance(item, Tombstone)}
        acknowledged = False
        try:
            await self._bus.publish(items)
            acknowledged = True
        finally:
            if not acknowledged:  # a commit after this one must not pass what isn't written
                self._dirty |= dirty
        self._written -= {item.key for item in items if isinstance(item, Tombstone)}
