"""Make the topics: idempotent, before any service starts. The broker never makes one by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.catalog import CHANGELOGS, DEADLETTERS, TOPICS, Changelog, Topic
from services.core.errors import BusUnavailable, StartError
from services.runtime.kafka_security import client_settings

MAX_RECORD = 2_000_000  # octets; a Received event with 1,000 long recipients needs a third of it
MAX_LETTER = 2_800_000  # octets; a dead letter holds any other record whole, in base64
REPLICAS = 3  # of each partition, where there are as many brokers
SETTLE = 15.0  # seconds for new topics to get their leaders


ALL: tuple[Topic | Changelog, ...] = (*TOPICS, *CHANGELOGS)


def settings(topic: Topic | Changelog, replicas: int) -> dict[str, str]:
    """Return the topic's configuration. With three replicas an acknowledgement means two of them have the record."""
    config = {
        "min.insync.replicas": "2" if replicas >= REPLICAS else "1",
        "max.message.bytes": str(MAX_LETTER if topic is DEADLETTERS else MAX_RECORD),
        "segment.bytes": str(32 * 1024 * 1024),
    }
    if isinstance(topic, Changelog):
        # Small segments: only a closed one is compacted or deleted, and all of it is read at each start.
        config |= {
            "cleanup.policy": "compact,delete",
            "retention.ms": str(topic.retention_ms),
            "segment.bytes": str(4 * 1024 * 1024),
            "segment.ms": str(topic.retention_ms // 2),
        }
    elif topic.retention_ms is None:
        # Tombstones stay a day, so that a reader which was away that long still sees what went.
        config |= {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.2", "delete.retention.ms": "86400000"}
    else:
        config |= {"cleanup.policy": "delete", "retention.ms": str(topic.retention_ms)}
    return config


async def make_topics(bootstrap: str) -> None:
    """Make every topic of the catalogue that isn't there, and the changelogs that libraries expect.

    Raises BusUnavailable when the broker can't be reached, StartError when a topic has another number of partitions
    than the catalogue says: keys would no longer meet.
    """
    admin = _admin(bootstrap, "gatepost-provision")
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        replicas = min(REPLICAS, len(cluster["brokers"]))
        existing = set(await admin.list_topics())
        missing = [topic for topic in ALL if topic.name not in existing]
        if missing:
            await _create(admin, missing, replicas)
        await _await_leaders(admin)
    except (KafkaError, OSError) as error:
        raise BusUnavailable(f"{bootstrap}: {error}") from error
    finally:
        await admin.close()


def _admin(bootstrap: str, client: str) -> AIOKafkaAdminClient:
    return AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, client_id=client, request_timeout_ms=20_000, **client_settings()
    )


async def _create(admin: AIOKafkaAdminClient, topics: list[Topic | Changelog], replicas: int) -> None:
    wanted = [
        NewTopic(
            name=topic.name,
            num_partitions=topic.partitions,
            replication_factor=replicas,
            topic_configs=settings(topic, replicas),
        )
        for topic in topics
    ]
    answer = await admin.create_topics(wanted, timeout_ms=15_000)
    for name, code, *detail in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise StartError(f"the broker refuses to make topic {name}: {error.__name__} {detail[0] if detail else ''}")


async def require_topics(bootstrap: str, topics: Sequence[Topic | Changelog]) -> None:
    """Return when these topics are there and cut as the catalogue says.

    Raises BusUnavailable when the broker can't be reached, StartError when a topic is missing or is cut otherwise.
    """
    admin = _admin(bootstrap, "gatepost-require")
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        for topic in topics:
            if topic.name not in existing:
                raise StartError(f"topic {topic.name} is missing; `gatepost provision` makes it")
        await _await_leaders(admin, topics)
    except (KafkaError, OSError, TimeoutError) as error:
        raise BusUnavailable(f"{bootstrap}: {error or type(error).__name__}") from error
    finally:
        await admin.close()


async def _await_leaders(admin: AIOKafkaAdminClient, topics: Sequence[Topic | Changelog] = ALL) -> None:
    names = [topic.name for topic in topics]
    async with asyncio.timeout(SETTLE):
        while True:
            described = {entry["topic"]: entry for entry in await admin.describe_topics(names)}
            ready = all(
                entry["error_code"] == 0 and all(part["leader"] >= 0 for part in entry["partitions"])
                for entry in described.values()
            )
            if ready and len(described) == len(names):
                break
            await asyncio.sleep(0.1)
    for topic in topics:
        found = len(described[topic.name]["partitions"])
        if found != topic.partitions:
            raise StartError(f"topic {topic.name} has {found} partitions, {topic.partitions} are needed")
