"""The table of topics: what lies in each, for how long, who writes and who reads."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Final

from schemas import events

DAY: Final = 86_400_000  # ms
PARTITIONS: Final = 6  # of every topic keyed by message id: they are joined, so they are cut alike


@dataclasses.dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `retention_ms` None means compacted: the last event of a key stays."""

    name: str
    struct: type[events.Event]
    key: str
    partitions: int
    retention_ms: int | None
    producers: tuple[str, ...]
    consumers: tuple[str, ...]


RECEIVED: Final = Topic(
    "mail.received.v1", events.Received, "id", PARTITIONS, 12 * DAY, ("ingress", "recover"), ("scanners", "policy")
)
RESCANS: Final = Topic("mail.rescans.v1", events.Rescan, "received.id", PARTITIONS, 2 * DAY, ("policy",), ("scanners",))
VERDICTS: Final = Topic("mail.verdicts.v1", events.Verdict, "id", PARTITIONS, 12 * DAY, ("scanners",), ("policy",))
DISPOSITIONS: Final = Topic(
    "mail.dispositions.v1",
    events.Disposition,
    "received.id",
    PARTITIONS,
    12 * DAY,
    ("policy", "quarantine"),
    ("delivery", "quarantine"),
)
OUTCOMES: Final = Topic(
    "mail.outcomes.v1",
    events.Outcome,
    "id",
    PARTITIONS,
    40 * DAY,
    ("delivery", "policy", "quarantine"),
    ("reaper", "delivery", "recover"),
)
REJECTIONS: Final = Topic("mail.rejections.v1", events.Rejection, "client_ip", PARTITIONS, 7 * DAY, ("ingress",), ())
COMMANDS: Final = Topic(
    "quarantine.commands.v1", events.QuarantineCommand, "id", PARTITIONS, 40 * DAY, ("cli",), ("quarantine",)
)
DEADLETTERS: Final = Topic(
    "deadletters.v1", events.DeadLetter, "topic/partition/offset", 1, 40 * DAY, ("every consumer",), ()
)
DEFERRED: Final = Topic(
    "mail.deferred.v1", events.Deferred, "id/branch", PARTITIONS, None, ("delivery",), ("delivery",)
)
PENDING: Final = Topic("policy.pending.v1", events.Pending, "id", PARTITIONS, None, ("policy",), ("policy",))
DEPARTED: Final = Topic("mail.departed.v1", events.Departed, "id", PARTITIONS, None, ("reaper",), ("reaper",))
CUSTOMERS: Final = Topic(
    "customers.v1", events.Customer, "id", 1, None, ("cli",), ("ingress", "policy", "delivery", "quarantine")
)
RECIPIENTS: Final = Topic("recipients.v1", events.Recipient, "customer/digest", 1, None, ("cli",), ("ingress",))
SCANNERS: Final = Topic("scanners.v1", events.Scanner, "name", 1, None, ("cli",), ("ingress",))

TOPICS: Final[tuple[Topic, ...]] = (
    RECEIVED,
    RESCANS,
    VERDICTS,
    DISPOSITIONS,
    OUTCOMES,
    REJECTIONS,
    COMMANDS,
    DEADLETTERS,
    DEFERRED,
    PENDING,
    DEPARTED,
    CUSTOMERS,
    RECIPIENTS,
    SCANNERS,
)
BY_NAME: Final = {topic.name: topic for topic in TOPICS}
BY_STRUCT: Final = {topic.struct: topic for topic in TOPICS}


def key_of(event: events.Event) -> str:
    """Return the key under which the event is published: records of one key stay in order."""
    match event:
        case events.Rescan() | events.Disposition():
            return event.received.id
        case events.Deferred():
            return f"{event.disposition.received.id}/{event.branch}"
        case events.Recipient():
            return f"{event.customer}/{event.digest}"
        case events.Rejection():
            return event.client_ip
        case events.Scanner():
            return event.name
        case events.DeadLetter():
            return f"{event.topic}/{event.partition}/{event.offset}"
        case (
            events.Received()
            | events.Verdict()
            | events.Outcome()
            | events.Pending()
            | events.Departed()
            | events.QuarantineCommand()
            | events.Customer()
        ):
            return event.id
    raise TypeError(f"{type(event).__name__} belongs to no topic")


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key. Only the part before the first '/' counts, so `id/branch` lies where `id` lies."""
    return zlib.crc32(key.partition("/")[0].encode()) % partitions
