"""What the broker says of topics and groups, and what a person has it do: never on the path of a message."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from schemas.catalog import Changelog, Topic
from services.core.errors import BusUnavailable, StartError
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
            parts = _parts(topics)
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


async def place(bootstrap: str, group: str, starts: Sequence[Topic], ends: Sequence[Topic] = ()) -> int:
    """Let a group begin anew at the first record of some topics, and at the end of others; return how many lie ahead.

    Raises StartError while the group has members, who would go on where they are, and BusUnavailable.
    """
    if count := await members(bootstrap, group):
        raise StartError(f"{group} has {count} members: stop them, and wait 10 s for one that was killed")
    with _typed(bootstrap):
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            client_id="gatepost-topics",
            group_id=group,
            enable_auto_commit=False,
            **client_settings(),
        )
        try:
            await consumer.start()
            first, last = (
                [TopicPartition(t.name, p) for t in some for p in range(t.partitions)] for some in (starts, ends)
            )
            consumer.assign([*first, *last])
            begin, until = await consumer.beginning_offsets(first), await consumer.end_offsets([*first, *last])
            await consumer.commit({**begin, **{part: until[part] for part in last}})
        finally:
            await consumer.stop()
    return sum(until[part] - begin[part] for part in first)


async def clear(bootstrap: str, topics: Sequence[Topic | Changelog]) -> None:
    """Delete every record of these topics; raise BusUnavailable."""
    with _typed(bootstrap):
        async with _admin(bootstrap) as admin:
            everything = RecordsToDelete(before_offset=-1)
            await admin.delete_records(dict.fromkeys(_parts(topics), everything))


def _parts(topics: Sequence[Topic | Changelog]) -> list[TopicPartition]:
    return [TopicPartition(topic.name, p) for topic in topics for p in range(topic.partitions)]


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
