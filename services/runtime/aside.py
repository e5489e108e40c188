"""Ports for work that must leave no trace, or a trace in one place only.

`AsideBus` keeps what is published to itself and `ReadOnlyStore` can't write: neither holds a producer or anything else
that could reach a live topic. What they can't do is not forbidden but absent. `NarrowBus` leads to some topics alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import NoReturn

from schemas.catalog import BY_STRUCT, Topic
from schemas.events import Event
from services.core.errors import Permanent
from services.runtime.bus import Bus, Record, Tombstone
from services.runtime.source import Raw
from services.runtime.store import Stat, Store


class ReadOnly(Permanent):
    """A write was asked of a port that only reads: a defect of the caller."""


class NotAllowed(Permanent):
    """A topic was to be written that the port does not lead to: a defect of the caller."""


class NarrowBus:
    """A bus to which only some topics can be published; what else is tried is refused before any of it is sent."""

    def __init__(self, bus: Bus, topics: Iterable[Topic]) -> None:
        self._bus = bus
        self._topics = frozenset(topic.name for topic in topics)

    async def publish(self, items: Iterable[Event | Tombstone], *, within: float = 10.0) -> None:
        """As Bus.publish; raise NotAllowed for an item of another topic."""
        items = tuple(items)
        for item in items:
            self._require(item.topic if isinstance(item, Tombstone) else BY_STRUCT[type(item)])
        await self._bus.publish(items, within=within)

    def _require(self, topic: Topic) -> None:
        if topic.name not in self._topics:
            raise NotAllowed(f"{topic.name}: not to be written from here")

    def read(
        self, topic: Topic, partitions: Iterable[int] | None = None, *, tail: int | None = None, sure: bool = False
    ) -> AsyncIterator[Record]:
        """As Bus.read; raise NotAllowed for what takes a mark in another topic."""
        if sure:
            self._require(topic)
        return self._bus.read(topic, partitions, tail=tail, sure=sure)

    def read_raw(
        self, topic: Topic, partitions: Iterable[int] | None = None, *, tail: int | None = None, sure: bool = False
    ) -> AsyncIterator[Raw]:
        """As Bus.read_raw; raise NotAllowed as `read` does."""
        if sure:
            self._require(topic)
        return self._bus.read_raw(topic, partitions, tail=tail, sure=sure)

    def follow(self, topic: Topic, caught_up: asyncio.Event) -> AsyncIterator[Record]:
        """As Bus.follow."""
        return self._bus.follow(topic, caught_up)


class AsideBus:
    """Takes what is published and tells nobody; keeps how many of what."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    async def publish(self, items: Iterable[Event | Tombstone], *, within: float = 10.0) -> None:  # noqa: ARG002
        """Count the items by the topic that they would have gone to."""
        self.counts.update(
            item.topic.name if isinstance(item, Tombstone) else BY_STRUCT[type(item)].name for item in items
        )

    def read(
        self,
        topic: Topic,
        partitions: Iterable[int] | None = None,  # noqa: ARG002
        *,
        tail: int | None = None,  # noqa: ARG002
        sure: bool = False,  # noqa: ARG002
    ) -> AsyncIterator[Record]:
        """Nothing is read here."""
        raise ReadOnly(f"{topic.name}: nothing is read aside")

    def read_raw(
        self,
        topic: Topic,
        partitions: Iterable[int] | None = None,  # noqa: ARG002
        *,
        tail: int | None = None,  # noqa: ARG002
        sure: bool = False,  # noqa: ARG002
    ) -> AsyncIterator[Raw]:
        """Nothing is read here."""
        raise ReadOnly(f"{topic.name}: nothing is read aside")

    def follow(self, topic: Topic, caught_up: asyncio.Event) -> AsyncIterator[Record]:  # noqa: ARG002
        """Nothing is read here."""
        raise ReadOnly(f"{topic.name}: nothing is read aside")


class ReadOnlyStore:
    """A store of which only the reading half was handed over."""

    def __init__(self, store: Store) -> None:
        self._get: Callable[[str], Awaitable[bytes]] = store.get
        self._list: Callable[[str], AsyncIterator[Stat]] = store.list
        self._close: Callable[[], Awaitable[None]] = store.close

    async def get(self, key: str) -> bytes:
        """As Store.get."""
        return await self._get(key)

    def list(self, prefix: str) -> AsyncIterator[Stat]:
        """As Store.list."""
        return self._list(prefix)

    async def close(self) -> None:
        """As Store.close."""
        await self._close()

    async def put(self, key: str, parts: Sequence[bytes | memoryview]) -> None:  # noqa: ARG002
        """Raise ReadOnly."""
        _refuse(key)

    def begin(self, room: int) -> NoReturn:  # noqa: ARG002
        """Raise ReadOnly."""
        _refuse("an upload")

    async def delete(self, key: str) -> None:
        """Raise ReadOnly."""
        _refuse(key)

    async def check(self) -> None:
        """Raise ReadOnly: it takes no writes."""
        _refuse("check")


def _refuse(what: str) -> NoReturn:
    raise ReadOnly(f"{what}: this store is only read")
