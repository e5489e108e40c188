"""The table of topics: what lies in each, for how long, who writes and who reads."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Final

from schemas import events

DAY: Final = 86_400_000  # ms
PARTITIONS: Final = 12  # even for 2, 3, 4 and 6 members
PARTITIONS_MOST: Final = 10_000
ALIKE: Final = 0  # cut like every topic that is keyed by message id: they are joined


class _Cut:
    partitions = PARTITIONS


def cut(partitions: int) -> None:
    """Say into how many partitions this installation cuts its topics; every process of it must be told the same.

    Before anything reads or writes. A key's partition follows from the number, so it stays what it was at the first
    provisioning; `provision` refuses another. Each partition costs every reader and the broker some CPU at each
    record, so an installation on one machine has few. Raises ValueError.
    """
    if not 1 <= partitions <= PARTITIONS_MOST:
        raise ValueError(f"{partitions} partitions: 1 to {PARTITIONS_MOST:,}")
    _Cut.partitions = partitions


def partition_count() -> int:
    """Return how many partitions the topics have that are keyed by message id."""
    return _Cut.partitions


@dataclasses.dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `retention_ms` None means compacted: the last event of a key stays."""

    name: str
    struct: type[events.Event]
    key: str  # the fields that make it, joined by '/'; the first is the message's id in topics that are joined
    own_cut: int  # partitions of its own, or ALIKE
    retention_ms: int | None
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    joined: bool = False  # joined with other topics by message id: all of these are cut alike
    unread: str = ""  # why nobody consumes it

    @property
    def partitions(self) -> int:
        """How many it has here."""
        return self.own_cut or partition_count()


RECEIVED: Final = Topic(
    "mail.received.v1",
    events.Received,
    "id",
    ALIKE,
    12 * DAY,
    ("ingress", "recover", "delivery", "console"),
    ("scanners", "policy", "signals", "trace"),
    joined=True,
)
RESCANS: Final = Topic(
    "mail.rescans.v1",
    events.Rescan,
    "received.id",
    ALIKE,
    2 * DAY,
    ("policy", "quarantine"),
    ("scanners", "trace"),
    joined=True,
)
VERDICTS: Final = Topic(
    "mail.verdicts.v1", events.Verdict, "id", ALIKE, 12 * DAY, ("scanners",), ("policy", "trace"), joined=True
)
SHADOWS: Final = Topic(
    "mail.shadows.v1", events.Shadow, "verdict.id", ALIKE, 4 * DAY, ("scanners",), ("cli",), joined=True
)
DISPOSITIONS: Final = Topic(
    "mail.dispositions.v1",
    events.Disposition,
    "received.id",
    ALIKE,
    12 * DAY,
    ("policy", "quarantine", "recover"),
    ("delivery", "quarantine", "trace", "signals"),
    joined=True,
)
OUTCOMES: Final = Topic(
    "mail.outcomes.v1",
    events.Outcome,
    "id",
    ALIKE,
    40 * DAY,
    ("delivery", "policy", "quarantine"),
    ("reaper", "delivery", "quarantine", "recover", "trace", "signals"),
    joined=True,
)
MOVED: Final = Topic(
    "mail.moved.v1", events.Moved, "id", ALIKE, 40 * DAY, ("quarantine",), ("reaper", "recover"), joined=True
)
REJECTIONS: Final = Topic(
    "mail.rejections.v1",
    events.Rejection,
    "client_ip",
    ALIKE,
    7 * DAY,
    ("ingress",),
    ("signals", "trace"),
)
COMMANDS: Final = Topic(
    "quarantine.commands.v1",
    events.QuarantineCommand,
    "id",
    ALIKE,
    40 * DAY,
    ("cli", "api"),
    ("quarantine", "trace"),
    joined=True,
)
REQUESTS: Final = Topic(
    "quarantine.requests.v1",
    events.QuarantineRequest,
    "id",
    ALIKE,
    40 * DAY,
    ("cli", "api", "signals"),
    ("quarantine", "trace"),
    joined=True,
)
RECHECKS: Final = Topic(
    "quarantine.rechecks.v1",
    events.Rechecked,
    "id",
    ALIKE,
    2 * DAY,
    ("scanners",),
    ("quarantine", "trace"),
    joined=True,
)
HOLDS: Final = Topic("quarantine.holds.v1", events.Hold, "id", ALIKE, None, ("quarantine",), ("rebuild",), joined=True)
AUDIT: Final = Topic(
    "audit.v1",
    events.Audit,
    "customer",
    1,
    400 * DAY,
    ("cli", "api", "policy"),
    (),
    unread="kept for auditors: who changed what guards the mail",
)
DEADLETTERS: Final = Topic(
    "deadletters.v1",
    events.DeadLetter,
    "topic/partition/offset",
    1,
    40 * DAY,
    ("every consumer",),
    (),
    unread="kept for the operator: each needs a person to look at it",
)
DEFERRED: Final = Topic(
    "mail.deferred.v1",
    events.Deferred,
    "disposition.received.id/disposition.release/branch",
    ALIKE,
    None,
    ("delivery",),
    ("delivery", "trace", "signals"),
    joined=True,
)
QUEUE_COMMANDS: Final = Topic(
    "delivery.commands.v1",
    events.QueueCommand,
    "command_id",
    1,
    400 * DAY,  # a hold is one of these: it ends when somebody says so, long before this
    ("cli",),
    ("delivery",),
)
QUEUES: Final = Topic(
    "delivery.queues.v1", events.QueueState, "customer/destination/owner", 1, None, ("delivery",), ("cli", "delivery")
)
TLS_RESULTS: Final = Topic(
    "delivery.tls.v1", events.TlsResults, "domain/day/owner/policy", 1, 4 * DAY, ("delivery",), ("delivery",)
)
PENDING: Final = Topic(
    "policy.pending.v1", events.Pending, "id", ALIKE, None, ("policy",), ("policy", "signals"), joined=True
)
DEPARTED: Final = Topic("mail.departed.v1", events.Departed, "id", ALIKE, None, ("reaper",), ("reaper",), joined=True)
GREYLIST: Final = Topic("greylist.v1", events.Greylisted, "digest", 1, None, ("ingress",), ("ingress",))
CUSTOMERS: Final = Topic(
    "customers.v1",
    events.Customer,
    "id",
    1,
    None,
    ("cli", "console"),
    ("ingress", "policy", "delivery", "quarantine", "scanners"),
)
RECIPIENTS: Final = Topic(
    "recipients.v1",
    events.Recipient,
    "customer/digest/source",
    1,
    None,
    ("cli", "console", "directory"),
    ("ingress", "directory"),
)
DIRECTORY_STATE: Final = Topic(
    "directory.state.v1", events.DirectoryState, "customer/source", 1, None, ("directory", "cli"), ("directory", "cli")
)
# Not compacted: the retention is what makes a correspondent a stranger again, without anybody to clear up.
CONTACTS: Final = Topic(
    "contacts.v1", events.Contact, "customer/digest", ALIKE, 90 * DAY, ("policy",), ("scanners", "policy")
)
# Likewise: a reply or a bounce that comes later is one like any other.
SENT: Final = Topic("mail.sent.v1", events.Sent, "customer/message", ALIKE, 30 * DAY, ("policy",), ("scanners",))
SENDERS: Final = Topic(
    "senders.v1", events.SenderEntry, "customer/whom/sender", 1, None, ("cli", "api", "quarantine"), ("policy",)
)
SENDER_HOLDS: Final = Topic(
    "submission.holds.v1",
    events.SenderHold,
    "customer/sender",
    1,
    None,
    ("signals", "cli"),
    ("ingress", "policy", "signals", "delivery", "cli"),
)
SCANNERS: Final = Topic("scanners.v1", events.Scanner, "name", 1, None, ("cli",), ("ingress",))

# Keyed by subject/kind: a subject's tallies meet in one partition, whichever pod and address they came from; and as
# both topics are cut alike, all signals of a key have one writer.
TALLIES: Final = Topic(
    "signals.tallies.v1", events.Tally, "subject/kind", ALIKE, DAY, ("signals",), ("signals",), joined=True
)
SIGNALS: Final = Topic(
    "signals.v1",
    events.Signal,
    "subject/kind",
    ALIKE,
    None,
    ("signals",),
    ("signals", "ingress", "policy"),
    joined=True,
)

TOPICS: Final[tuple[Topic, ...]] = (
    RECEIVED,
    RESCANS,
    VERDICTS,
    SHADOWS,
    DISPOSITIONS,
    OUTCOMES,
    MOVED,
    REJECTIONS,
    COMMANDS,
    REQUESTS,
    RECHECKS,
    HOLDS,
    AUDIT,
    DEADLETTERS,
    DEFERRED,
    QUEUE_COMMANDS,
    QUEUES,
    TLS_RESULTS,
    PENDING,
    DEPARTED,
    GREYLIST,
    CUSTOMERS,
    RECIPIENTS,
    DIRECTORY_STATE,
    CONTACTS,
    SENT,
    SENDERS,
    SENDER_HOLDS,
    SCANNERS,
    TALLIES,
    SIGNALS,
)
BY_NAME: Final = {topic.name: topic for topic in TOPICS}
BY_STRUCT: Final = {topic.struct: topic for topic in TOPICS}


@dataclasses.dataclass(frozen=True, slots=True)
class Changelog:
    """A topic whose records belong to a library inside one service: nobody else reads it, and it can be thrown away."""

    name: str
    retention_ms: int
    producers: tuple[str, ...]
    own_cut: int = ALIKE

    @property
    def partitions(self) -> int:
        """As many as the topic that feeds it."""
        return self.own_cut or partition_count()


# Faust names it <app id>-<table>-changelog. Were it missing or cut otherwise, the app would end in a crash loop.
COUNTS: Final = Changelog("gatepost-signals-counts-changelog", DAY // 24, ("signals",))
# What the ledger's agent keeps: messages that have not ended, for as long as one may wait in queue and quarantine; and
# the sums of each customer.
OPEN: Final = Changelog("gatepost-signals-open-changelog", 45 * DAY, ("signals",))
FLOWS: Final = Changelog("gatepost-signals-flows-changelog", 2 * DAY, ("signals",))
# The most that senders who send much had on each of the last days: what is usual for them.
HABITS: Final = Changelog("gatepost-signals-habits-changelog", 45 * DAY, ("signals",))
CHANGELOGS: Final = (COUNTS, OPEN, FLOWS, HABITS)


def key_of(event: events.Event) -> str:  # noqa: PLR0911, PLR0912, C901  # one case a kind of event
    """Return the key under which the event is published: records of one key stay in order."""
    match event:
        case events.Rescan() | events.Disposition():
            return event.received.id
        case events.Deferred():
            return _deferred_key(event)
        case events.Recipient():
            return _recipient_key(event)
        case events.DirectoryState():
            return f"{event.customer}/{event.source}"
        case events.Rejection():
            return event.client_ip
        case events.Greylisted():
            return event.digest
        case events.Tally() | events.Signal():
            return f"{event.subject}/{event.kind}"
        case events.Contact():
            return f"{event.customer}/{event.digest}"
        case events.Sent():
            return f"{event.customer}/{event.message}"
        case events.TlsResults():
            return f"{event.domain}/{event.day}/{event.owner}/{event.policy}"
        case events.Scanner():
            return event.name
        case events.QueueCommand():
            return event.command_id
        case events.QueueState():
            return f"{event.customer}/{event.destination}/{event.owner}"
        case events.SenderEntry():
            return f"{event.customer}/{event.whom}/{event.sender}"
        case events.SenderHold():
            return f"{event.customer}/{event.sender}"
        case events.Audit():
            return event.customer
        case events.Shadow():
            return event.verdict.id
        case events.DeadLetter():
            return f"{event.topic}/{event.partition}/{event.offset}"
        case (
            events.Received()
            | events.Verdict()
            | events.Outcome()
            | events.Moved()
            | events.Rechecked()
            | events.Hold()
            | events.Pending()
            | events.Departed()
            | events.QuarantineCommand()
            | events.QuarantineRequest()
            | events.Customer()
        ):
            return event.id
    raise TypeError(f"{type(event).__name__} belongs to no topic")


def _recipient_key(event: events.Recipient) -> str:
    # The customers file is the source without a name: its records keep the keys that they had before there were
    # others, so what was published then is still its own to take away.
    return f"{event.customer}/{event.digest}" + (f"/{event.source}" if event.source else "")


def _deferred_key(event: events.Deferred) -> str:
    # Each release is a disposition of its own with branches counted from 0: without its id in the key, what waits for
    # one release would overwrite what waits for another, and lose mail.
    disposition = event.disposition
    release = f"{disposition.release}/" if disposition.release else ""
    return f"{disposition.received.id}/{release}{event.branch}"


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key. Only the part before the first '/' counts, so `id/branch` lies where `id` lies."""
    return zlib.crc32(key.partition("/")[0].encode()) % partitions
