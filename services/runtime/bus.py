"""The event log as the services see it. Implementations: `kafka` (aiokafka) and `fakes.MemoryBus`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final, Protocol

from schemas.catalog import Topic
from schemas.events import Event
from services.runtime.source import Raw

MARK: Final = "mark"  # the key of a record by which the end of a partition is found


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One decoded record of a topic."""

    topic: Topic
    partition: int
    offset: int
    key: str
    event: Event | None  # None: a tombstone; only compacted topics have them
    timestamp: float  # seconds since the epoch, by the producer
    suspect: bool = False  # somebody may have begun to handle it, and was ended before he could say how far he came


@dataclasses.dataclass(frozen=True, slots=True)
class Tombstone:
    """Takes a key out of a compacted topic."""

    topic: Topic
    key: str


class Bus(Protocol):
    """Publish and read back. Consuming with a group is `consume.Consumer`'s part."""

    async def publish(self, items: Iterable[Event | Tombstone], *, within: float = 10.0) -> None:
        """Append every item to the topic of its type and return when all in-sync replicas have all of them.

        Raises BusUnavailable when that took longer than `within` seconds; an item may still land afterwards.
        """
        ...

    def read(
        self, topic: Topic, partitions: Iterable[int] | None = None, *, tail: int | None = None, sure: bool = False
    ) -> AsyncIterator[Record]:
        """Yield the topic's records from its beginning, or the last `tail` of each partition, to its end at the call.

        `sure`: with all that was acknowledged before the call. Else a broker that was paused, and hasn't heard yet that
        it is the leader no more, may tell of an end that was passed long ago. It takes a mark in each partition, which
        says nothing of any key: for compacted topics, and who owns the partitions.

        A record that doesn't decode is logged and left out. Raises BusUnavailable when the end can't be reached.
        """
        ...

    def read_raw(
        self, topic: Topic, partitions: Iterable[int] | None = None, *, tail: int | None = None, sure: bool = False
    ) -> AsyncIterator[Raw]:
        """As `read`, with the records as the broker has them: for who needs little of each of very many."""
        ...

    def follow(self, topic: Topic, caught_up: asyncio.Event) -> AsyncIterator[Record]:
        """Yield the topic's records from its beginning, for ever; `caught_up` is set at its end at the call.

        An unreachable broker is waited for, with a line in the log; it never ends the iteration.
        """
        ...


class Service(Protocol):
    """What the consume loop drives: decode → handle → publish what it returned → commit."""

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """Return the events that follow from the record. They are published before the record counts as done.

        Temporary failures are raised as such: the loop waits and calls again. Permanent ones send the record to the
        dead letters.
        """
        ...

    async def finished(self, record: Record) -> None:
        """Called when all that `handle` returned is acknowledged: only now may state that led to it be let go."""
        ...

    async def assigned(self, partitions: frozenset[int]) -> None:
        """Called before the first record of new partitions: load what belongs to them, however long it takes.

        Cancelled when the partitions move again; `revoked` is called then as well.
        """
        ...

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Called when the work in flight is done and committed: forget what belongs to them."""
        ...

    async def before_commit(self) -> None:
        """Called before each commit: make durable what the committed records have put into tables."""
        ...


class Stateless:
    """The parts of `Service` that a service without tables leaves as they are."""

    async def finished(self, record: Record) -> None:
        """Nothing to let go."""

    async def assigned(self, partitions: frozenset[int]) -> None:
        """Nothing to load."""

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Nothing to forget."""

    async def before_commit(self) -> None:
        """Nothing to write."""
