"""What the broker says of topics and groups: for people who look, never on the path of a message."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.catalog import Topic
from services.core.errors import BusUnavailable
from services.runtime.kafka_security import client_settings
from services.runtime.source import Slot


@dataclasses.dataclass(frozen=True, slots=True)
class Offsets:
    """A partition: its first offset that is there, the offset that the next record gets, and each group's position."""

    topic: str
    partition: int
    first: int
    end: int
    groups: tuple[tuple[str, int], ...] = ()  # name and committed offset, by name


async def offsets(bootstrap: str, topics: Sequence[Topic], *, groups: bool = True) -> list[Offsets]:
    """Return every partition of these topics, in their order; raise BusUnavailable."""
    with _typed(bootstrap):
        committed = await _committed(bootstrap) if groups else {}
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, client_id="gatepost-topics", enable_auto_commit=False, **client_settings()
        )
        try:
            await consumer.start()
            parts = [TopicPartition(topic.name, p) for topic in topics for p in range(topic.partitions)]
            first, last = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
        finally:
            await consumer.stop()

    def reads(at: dict[Slot, int], part: TopicPartition) -> bool:
        return any(topic == part.topic for topic, _ in at)

    return [
        Offsets(
            part.topic,
            part.partition,
            first[part],
            last[part],
            # Where a group has read nothing yet it has committed nothing: all that is there is still before it.
            tuple((name, at.get((part.topic, part.partition), 0)) for name, at in committed.items() if reads(at, part)),
        )
        for part in parts
    ]


async def members(bootstrap: str, group: str) -> int:
    """Return how many members the group has at present, 0 for one that isn't there; raise BusUnavailable."""
    with _typed(bootstrap):
        async with _admin(bootstrap) as admin:
            for answer in await admin.describe_consumer_groups([group]):
                for described in answer.to_object()["groups"]:
                    return len(described["members"])
    return 0


async def _committed(bootstrap: str) -> dict[str, dict[Slot, int]]:
    async with _admin(bootstrap) as admin:
        names = sorted({entry[0] for entry in await admin.list_consumer_groups()})
        found = {}
        for name in names:
            at = await admin.list_consumer_group_offsets(name)
            found[name] = {(part.topic, part.partition): meta.offset for part, meta in at.items() if meta.offset >= 0}
    return found


@contextlib.asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, client_id="gatepost-topics", request_timeout_ms=20_000, **client_settings()
    )
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


@contextlib.contextmanager
def _typed(bootstrap: str) -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError) as error:
        raise BusUnavailable(f"{bootstrap}: {error or type(error).__name__}") from error
