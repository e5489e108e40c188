"""The Faust app: windowed counts of what the door refused and what it took, and a signal when one is too high.

    mail.rejections.v1, mail.received.v1, mail.dispositions.v1 ─▶ observe ─▶ signals.tallies.v1 ─▶ count ─▶ signals.v1
                                                       (one partition a subject)

It sees everything and holds up nothing: no message waits for it, and all that it keeps can be counted again. Faust
acknowledges what an agent raised on, so nothing is raised: what can't be counted goes to the dead letters, and what
can't be published is tried again until it is.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import operator
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import faust

from schemas import wire
from schemas.catalog import (
    BY_NAME,
    COUNTS,
    DISPOSITIONS,
    HABITS,
    OUTCOMES,
    RECEIVED,
    REJECTIONS,
    SIGNALS,
    TALLIES,
    key_of,
    partition_of,
)
from schemas.events import Act, Disposition, Event, QuarantineRequest, SenderHold, Tally
from services.core import conduct
from services.core.clock import Clock
from services.core.errors import BusUnavailable, UnreadableEvent
from services.core.holds import SIGNALS as SIGNALS_NAME
from services.core.holds import SenderHolds
from services.core.ids import message_id
from services.core.outbreak import SCANNER as OUTBREAK
from services.core.signals import Signals
from services.runtime.bus import Bus, Tombstone
from services.runtime.kafka_security import read as kafka_security
from services.runtime.offsets import committed
from services.runtime.source import Slot
from services.signals.config import APP, SignalsConfig
from services.signals.decide import STEP, Spread, counts, crossed, gathered, sightings
from services.signals.held import HeldPrints
from services.signals.ledger import Ledger
from services.signals.letters import Letters
from services.signals.transport import mend, sealed

log = logging.getLogger("gatepost.signals")

BATCH: Final = 500  # events that are tallied together
GATHER: Final = 0.5  # seconds that a batch waits for more
SWEEP_EVERY: Final = 30.0  # seconds
CLEAR_AFTER: Final = 600.0  # seconds between a signal's lapse and its tombstone: clocks differ, the record costs little
KEPT: Final = frozenset(name for name, topic in BY_NAME.items() if topic.retention_ms is not None)  # not compacted
RECOVERY_WITHIN: Final = 600.0  # seconds; the changelog keeps an hour of counts
BOUNCED: Final = b'"state":"bounced"'  # in the octets of the few outcomes that are looked at
# What a window sums up of a tally, or unites, in the order of a cell. More is added at the end: a cell that an earlier
# release wrote is shorter.
CELL: Final[Mapping[str, Callable[[int, int], int]]] = {
    "count": operator.add,
    "known": operator.add,
    "flagged": operator.add,
    "customers": operator.or_,
    "sources": operator.or_,
    "recipients": operator.or_,
    "strangers": operator.add,
    "failed": operator.add,
}
NOTHING: Final = (0,) * len(CELL)
LOOK_EVERY: Final = 5.0  # seconds
RECALLED: Final = 1_000  # dispositions of each partition
AGAIN: Final = 1.0  # seconds before what could not be published is tried again


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """What the app works with."""

    bootstrap: str
    bus: Bus
    clock: Clock
    signals: Signals  # follows signals.v1
    holds: SenderHolds  # follows submission.holds.v1
    pause: Callable[[float], Awaitable[None]]
    folder: Path  # Faust wants one; nothing is kept in it


class Counting:
    """The app with its agents; `app` is started and stopped by whoever made it."""

    def __init__(self, config: SignalsConfig, ports: Ports) -> None:
        self._limits = config.limits()
        self._bounds = config.bounds()
        self._longest = max(limit.window_s for limit in self._limits.values())
        self._ports = ports
        self._retrying = False
        self._recovering_since: float | None = None
        self.app = _app(ports)
        self.letters = Letters(APP, ports.clock, lambda: sealed(self.app))
        self._table = cast("Any", self.app.Table("counts", default=int, partitions=TALLIES.partitions))
        # Without `expires`: Faust never expires what it recovered, and keeps a note of each change of what it does.
        self._counts = self._table.tumbling(STEP)
        if self._table.changelog_topic_name != COUNTS.name:
            raise AssertionError(f"the catalogue calls {self._table.changelog_topic_name} {COUNTS.name}")
        self._habits = cast("Any", self.app.Table("habits", partitions=TALLIES.partitions))
        if self._habits.changelog_topic_name != HABITS.name:
            raise AssertionError(f"the catalogue calls {self._habits.changelog_topic_name} {HABITS.name}")
        observed = self._raw(REJECTIONS.name, RECEIVED.name, DISPOSITIONS.name, OUTCOMES.name)
        self.app.agent(observed, name="observe")(self._observe)
        self.app.agent(self._raw(TALLIES.name), name="count")(self._count)
        self.app.timer(SWEEP_EVERY)(self._sweep)
        self._held = HeldPrints()
        self.app.timer(LOOK_EVERY)(self._look_back)
        self.app.task(self._recall)
        read_to = partial(committed, ports.bootstrap)
        self.ledger = Ledger(self.app, self._raw, ports.bus, ports.clock, read_to)

    def _raw(self, *topics: str) -> Any:  # noqa: ANN401 - a channel of Faust's
        # Bytes: no class path of ours is on the wire, and what doesn't decode is met by our own code, not by Faust's.
        return self.app.topic(*topics, key_serializer="raw", value_serializer="raw", allow_empty=True)

    # --- observe

    async def _observe(self, stream: Any) -> None:  # noqa: ANN401 - a stream of Faust's
        async for batch in stream.take_events(BATCH, within=GATHER):
            await self._insist(await self._tallied([event.message for event in batch]))

    async def _tallied(self, messages: Sequence[Any]) -> list[Event | Tombstone]:
        now = self._ports.clock.now()
        found: list[Tally] = []
        buried: list[Event | Tombstone] = []
        for message in messages:
            if message.topic == OUTCOMES.name and BOUNCED not in (message.value or b""):
                continue
            try:
                event = _decoded(message)
                found += sightings(event)
                if isinstance(event, Disposition):
                    self._held.remember(event)
                self.letters.handled("observe")
            except UnreadableEvent as error:
                buried.append(self.letters.about("observe", message, str(error)))
            except Exception as error:  # a defect: Faust would call the record done and lose the batch
                log.exception("topic=%s offset=%d event=defect", message.topic, message.offset)
                buried.append(self.letters.about("observe", message, f"defect: {type(error).__name__}"))
        if self.letters.given_up.is_set():
            return []  # of the whole batch: it is read again
        fresh = [tally for tally in gathered(found) if counts(tally, self._limits.get(tally.kind), now)]
        return [*buried, *fresh]

    # --- count

    async def _count(self, stream: Any) -> None:  # noqa: ANN401 - a stream of Faust's
        async for event in stream.events():
            try:
                told = self._counted(_decoded(event.message))
                self.letters.handled("count")
            except UnreadableEvent as error:
                told = [self.letters.about("count", event.message, str(error))]
            except Exception as error:  # as above
                log.exception("topic=%s offset=%d event=defect", event.message.topic, event.message.offset)
                told = [self.letters.about("count", event.message, f"defect: {type(error).__name__}")]
            if not self.letters.given_up.is_set():
                await self._insist(told)

    def _counted(self, tally: Event) -> list[Event | Tombstone]:
        if not isinstance(tally, Tally):
            raise UnreadableEvent(f"{type(tally).__name__} is no tally")
        now, limit = self._ports.clock.now(), self._limits.get(tally.kind)
        if limit is None or not counts(tally, limit, now):
            return []
        key = f"{key_of(tally)}*"  # a name of its own: releases before kept a number for each field
        window = self._counts.relative_to(tally.at)
        # One cell a subject and window: each cell that changes is a record of the changelog.
        window[key] = _more(_sums(window[key].value()), tally)
        if not tally.count and tally.kind not in self._bounds:
            return []
        cells = [_sums(self._counts.relative_to(start)[key].value()) for start in limit.starts(tally.at)]
        counted = [cell[0] for cell in cells]
        if sum(counted) < limit.count:
            return []  # as nearly always
        whole = _whole(cells)
        if tally.kind in self._bounds:
            return self._conducted(tally, whole)
        spread = Spread(whole["flagged"], whole["customers"], whole["sources"], whole["recipients"])
        until = limit.until(tally.at, counted)
        signals = self._ports.signals
        told = signals.active(tally.kind, tally.subject, now)
        signal = crossed(tally, whole["count"], limit, told, now, known=whole["known"], spread=spread, until=until)
        if signal is None:
            return []
        signals.apply(signal)  # before its echo comes back from the topic: the next tally must not tell it again
        log.info("kind=%s customer=%s count=%d event=signal", signal.kind, signal.customer, signal.count)
        return [signal]

    def _conducted(self, tally: Tally, whole: Mapping[str, int]) -> list[Event | Tombstone]:
        """Learn what is usual for an account, and return the hold that follows from what it did."""
        holds, now = self._ports.holds, self._ports.clock.now()
        if holds.held(tally.customer, tally.subject) is not None:
            return []  # what was under way when it was held
        bounds, key = self._bounds[tally.kind], key_of(tally)
        habit: conduct.Habit = self._habits.get(key) or ()
        learnt = conduct.learnt(habit, tally.at, whole["count"], tally.strangers, round(bounds.burst / bounds.growth))
        if learnt is not None:
            self._habits[key] = habit = learnt
        if holds.spared(tally.customer, tally.subject, now):
            return []
        did = conduct.Conduct(
            sent=whole["count"],
            strangers=whole["strangers"],
            failed=whole["failed"],
            bad=whole["flagged"],
            today=conduct.today(habit, tally.at),
            senders=whole["sources"].bit_count(),
        )
        usual = conduct.usual(habit, tally.at)
        reasons = conduct.judged(did, usual, bounds)
        if not reasons:
            return []
        hold = SenderHold(
            customer=tally.customer,
            sender=tally.subject,
            held=True,
            reasons=tuple(reasons),
            why=conduct.told(did, usual),
            by=SIGNALS_NAME,
            at=now,
        )
        holds.apply(hold)  # as above
        log.warning("customer=%s event=sender-held reasons=%s", hold.customer, ",".join(hold.reasons))
        return [hold]

    # --- what both need

    async def _insist(self, items: Sequence[Event | Tombstone]) -> None:
        while items:
            try:
                await self._ports.bus.publish(items)
            except BusUnavailable as error:
                log.warning("event=publish-retry error=%s", error)
                self._retrying = True
                await self._ports.pause(AGAIN)
            else:
                break
        self._retrying = False

    # --- what lies in the quarantine

    async def _recall(self) -> None:
        """Remember what was held before this process began. Without it a burst reaches what is held from now on."""
        try:
            async for record in self._ports.bus.read(DISPOSITIONS, tail=RECALLED):
                if isinstance(record.event, Disposition):
                    self._held.remember(record.event)
        except BusUnavailable as error:
            log.warning("event=held-not-recalled error=%s", error)

    async def _look_back(self) -> None:
        """Ask the quarantine to make worse what a burst, told since, shows to be one of it."""
        now = self._ports.clock.now()
        requests = [
            QuarantineRequest(
                request_id=message_id(now, os.urandom),
                id=each.id,
                customer=each.customer,
                act=Act.RAISE,
                by=OUTBREAK,
                at=now,
                status=each.status,
                note=each.note,
            )
            for each in self._held.worse(self._ports.signals, now)
        ]
        if requests:
            log.info("messages=%d event=held-made-worse", len(requests))
        await self._insist(requests)

    # --- what the watch asks

    def slots(self) -> frozenset[Slot]:
        """See `watch.Watched.slots`."""
        held = self.app.consumer.assignment()
        # A compacted topic may end in offsets that hold nothing any more: nobody gets there by reading.
        return frozenset((s.topic, s.partition) for s in held if s.topic in KEPT)

    def held_up(self) -> bool:
        """See `watch.Watched.held_up`."""
        if not self.app.in_recovery:
            self._recovering_since = None
            return self._retrying
        now = self._ports.clock.monotonic()
        self._recovering_since = self._recovering_since or now
        return now - self._recovering_since < RECOVERY_WITHIN

    # --- what is over

    async def _sweep(self) -> None:
        """Forget windows that no count reaches any more, and clear away signals that lapsed long ago."""
        now = self._ports.clock.now()
        data = self._table.data
        for key in [key for key in data if key[1][1] < now - self._longest]:
            data.pop(key)  # from memory alone: the changelog's own retention ends it there
        habits, old = self._habits.data, conduct.day_of(now) - conduct.DAYS
        for key in [key for key, habit in habits.items() if habit[-1][0] < old]:
            habits.pop(key)
        mine = {slot.partition for slot in self.app.consumer.assignment() if slot.topic == TALLIES.name}
        # Only of our own partitions: a key has one writer. The view hears of it as everybody does, from the topic.
        over = [key for key in self._ports.signals.lapsed(now - CLEAR_AFTER) if _partition(key) in mine]
        if over:
            try:
                await self._ports.bus.publish([Tombstone(SIGNALS, key) for key in over])
            except BusUnavailable as error:
                log.warning("event=clearing-put-off signals=%d error=%s", len(over), error)


def _sums(cell: int | Sequence[int]) -> Sequence[int]:
    """Return what a cell holds, as CELL has it; one that nobody has written is 0 to Faust."""
    if isinstance(cell, int):
        return NOTHING
    return cell if len(cell) == len(NOTHING) else [*cell, *NOTHING[len(cell) :]]


def _more(sums: Sequence[int], tally: Tally) -> list[int]:
    return [join(sum_, getattr(tally, field)) for (field, join), sum_ in zip(CELL.items(), sums, strict=True)]


def _whole(cells: Sequence[Sequence[int]]) -> dict[str, int]:
    return {
        field: functools.reduce(join, (cell[at] for cell in cells)) for at, (field, join) in enumerate(CELL.items())
    }


def _partition(key: str) -> int:
    return partition_of(key, SIGNALS.partitions)


def _decoded(message: Any) -> Event:  # noqa: ANN401 - a message of Faust's
    try:
        return wire.decode(message.value or b"", BY_NAME[message.topic].struct)
    except wire.Undecodable as error:
        raise UnreadableEvent(str(error)) from error


def credentials(environ: Mapping[str, str] = os.environ) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """Return what Faust's clients prove themselves with, the same as `client_settings`; None for plain text.

    Raises ConfigError.
    """
    security = kafka_security(environ)
    if security.protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=security.username,
            password=security.password,
            mechanism=security.mechanism,
            ssl_context=security.tls,
        )
    return faust.SSLCredentials(security.tls) if security.tls is not None else None


def _app(ports: Ports) -> faust.App:
    app = faust.App(
        APP,
        broker=[f"kafka://{host.strip()}" for host in ports.bootstrap.split(",")],
        broker_credentials=credentials(),
        store="memory://",
        datadir=str(ports.folder),
        web_enabled=False,
        autodiscover=False,
        processing_guarantee="at_least_once",
        stream_wait_empty=True,  # what is being counted is counted to its end before partitions go
        topic_partitions=TALLIES.partitions,
        topic_allow_declare=False,  # `gatepost provision` makes them, cut as the catalogue says
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=1_048_576,
        broker_session_timeout=10.0,  # a member that was killed is replaced after this
        broker_heartbeat_interval=1.0,
        broker_commit_interval=1.0,  # what a kill counts twice
        producer_linger=0.02,
    )
    mend(app)
    return app
