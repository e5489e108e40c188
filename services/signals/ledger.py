"""The ledger's agent: counts what each customer's messages come to, and raises `ledger-imbalance` when one is lost.

    mail.received, policy.pending, mail.dispositions, mail.deferred, mail.outcomes ─▶ balance ─▶ tables open, flows
    every 15 s: who is suspect? ─▶ ask the topics themselves ─▶ signals.v1, metrics, log

Its tables can be wrong for a moment, after a crash or where Faust left a partition unread. So a suspicion alone raises
nothing: what is suspect is looked up in the topics, as `gatepost ledger` does, and only what these confirm is told.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

import faust

from schemas import wire
from schemas.catalog import (
    BY_NAME,
    DEFERRED,
    DISPOSITIONS,
    FLOWS,
    OPEN,
    OUTCOMES,
    PENDING,
    RECEIVED,
    partition_count,
    partition_of,
)
from schemas.events import Event, Outcome, Signal
from services.core.clock import Clock
from services.core.errors import BusUnavailable
from services.core.ids import born, is_message_id
from services.core.ledger import Named
from services.core.signals import Kind
from services.runtime import metrics
from services.runtime.audit import Audit, Committed
from services.runtime.bus import Bus
from services.signals.balance import GRACE, OLD, WINDOW, Moved, Open, apply, corrected, message_of, opened, suspects

log = logging.getLogger("gatepost.signals")

TOPICS: Final = (RECEIVED, PENDING, DISPOSITIONS, DEFERRED, OUTCOMES)
GROUPS: Final = ("policy", "delivery")
CHECK_EVERY: Final = 15.0  # seconds
YOUNG: Final = 2.0  # seconds that a message stays out of the table: most have ended by then
ASK_EVERY: Final = 30.0  # seconds between two looks at a partition of the topics
LAPSE: Final = 180.0  # seconds that the signal holds after the last check that found something
NAMED_MOST: Final = 20  # messages that the log names
ASKED_MOST: Final = 1_000  # suspects of a partition that are looked up at once
KEEP: Final = 2 * WINDOW  # seconds after which a window whose sums agree is forgotten


class Ledger:
    """Adds its agent, tables and timer to the app."""

    def __init__(self, app: faust.App, topic: Callable[..., Any], bus: Bus, clock: Clock, committed: Committed) -> None:
        """`topic` makes a channel of bytes; `committed` says how far groups have come."""
        self._app = app
        self._bus = bus
        self._clock = clock
        self._committed = committed
        self._young: defaultdict[int, dict[str, Open]] = defaultdict(dict)
        self._sums: defaultdict[int, Counter[tuple[str, str, float]]] = defaultdict(Counter)
        self._flushed: dict[int, float] = {}
        self._asked: dict[int, float] = {}
        self._lost: dict[int, list[Named]] = {}  # by partition, as of the last look
        self._open = cast("Any", app.Table("open", partitions=partition_count()))
        self._flows = cast("Any", app.Table("flows", default=int, partitions=partition_count()))
        self._windows = self._flows.tumbling(WINDOW)
        for table, changelog in ((self._open, OPEN), (self._flows, FLOWS)):
            if table.changelog_topic_name != changelog.name:
                raise AssertionError(f"the catalogue calls {table.changelog_topic_name} {changelog.name}")
        app.agent(topic(*(each.name for each in TOPICS)), name="balance")(self._balance)
        app.timer(CHECK_EVERY)(self._check)

    async def _balance(self, stream: Any) -> None:  # noqa: ANN401  # a stream of Faust's
        async for event in stream.events():
            message = event.message
            try:
                self._note(message)
            except wire.Undecodable as error:
                # Its own service has the same record and buries it; the ledger just can't count it.
                log.error("topic=%s offset=%d event=not-counted error=%s", message.topic, message.offset, error)
            except Exception:  # a defect: Faust would end the agent for it
                log.exception("topic=%s offset=%d event=defect", message.topic, message.offset)

    def _note(self, message: Any) -> None:  # noqa: ANN401  # a message of Faust's
        now, partition = self._clock.now(), message.partition
        about = message_of((message.key or b"").decode("utf-8", "replace"))
        event: Event | None = wire.decode(message.value, BY_NAME[message.topic].struct) if message.value else None
        young = self._young[partition]
        entry = young.get(about)
        if entry is None:
            value = self._open.get(about)
            if value is None and (event is None or message.topic in {DEFERRED.name, PENDING.name}):
                return  # of a message that has ended: tables are read again from their beginning
            if value is None and isinstance(event, Outcome) and is_message_id(about) and born(about) < now - OLD:
                return  # counted anew, the topics no longer say of it that it was accepted
            entry = Open() if value is None else opened(value)
        moved = apply(entry, event, message.offset, now)
        if moved is not None:
            self._add(partition, moved)
        young[about] = entry
        if entry.over:
            self._close(partition, about)
        self._flush(partition, now)

    def _close(self, partition: int, about: str) -> None:
        self._young[partition].pop(about, None)
        if about in self._open:
            self._open.pop(about)

    def _add(self, partition: int, moved: Moved) -> None:
        start = moved.at // WINDOW * WINDOW
        sums = self._sums[partition]
        sums[moved.customer, "accepted", start] += moved.accepted
        sums[moved.customer, "ended", start] += moved.ended

    def _flush(self, partition: int, now: float) -> None:
        """Put what has lasted into the tables, in the context of an event of the same partition: Faust writes a change
        to the partition of the event at hand, and finds it nowhere else."""
        if now - self._flushed.get(partition, 0.0) < YOUNG:
            return
        self._flushed[partition] = now
        young = self._young[partition]
        for about in [about for about, entry in young.items() if entry.seen <= now - YOUNG]:
            if young[about].over:
                self._close(partition, about)
            else:
                self._open[about] = young.pop(about).value()
        sums, self._sums[partition] = self._sums[partition], Counter()
        for (customer, kind, start), count in sums.items():
            if count:
                self._windows.relative_to(start)[f"{partition}/{customer}/{kind}"] += count

    # --- what is raised

    async def _check(self) -> None:
        """Look for what is lost, and tell of it."""
        try:
            mine = {slot.partition for slot in self._app.consumer.assignment() if slot.topic == RECEIVED.name}
            await self._look(mine)
        except BusUnavailable as error:
            log.warning("event=ledger-check-put-off error=%s", error)
        except Exception:  # a defect: Faust would end the app for it
            log.exception("event=defect while=ledger-check")

    async def _look(self, mine: set[int]) -> None:
        now = self._clock.now()
        for gone in set(self._young) - mine:
            del self._young[gone]  # somebody else's: it reads on from what was committed
            self._sums.pop(gone, None)
            self._lost.pop(gone, None)
        committed = await self._committed(GROUPS)
        entries = self._entries(mine)
        lost: list[tuple[int, Named]] = []
        for partition, of in entries.items():
            doubtful = suspects(of.items(), committed, partition, now)[:ASKED_MOST]
            # Reading a partition costs: what is lost stays lost for a while without another look.
            if doubtful and now - self._asked.get(partition, 0.0) >= ASK_EVERY:
                self._asked[partition] = now
                self._lost[partition] = await self._confirmed(partition, doubtful, of)
            elif not doubtful:
                self._lost.pop(partition, None)
            lost += [(partition, named) for named in self._lost.get(partition, ())]
        metrics.IN_FLIGHT.set(sum(map(len, entries.values())))
        metrics.IMBALANCE.set(len({named.id for _, named in lost}))
        metrics.CHECKED.set(now)
        self._forget(now)
        if lost:
            await self._tell(lost, now)

    def _entries(self, mine: set[int]) -> dict[int, dict[str, Open]]:
        found: dict[int, dict[str, Open]] = {partition: dict(self._young[partition]) for partition in mine}
        for about, value in list(self._open.items()):
            of = found.get(partition_of(about, partition_count()))
            if of is not None:
                of.setdefault(about, opened(value))
        return {partition: {a: e for a, e in of.items() if not e.over} for partition, of in found.items()}

    async def _confirmed(self, partition: int, doubtful: list[str], entries: Mapping[str, Open]) -> list[Named]:
        """Return what the topics confirm. What they know better is put right here, at the next event."""
        audit = Audit(self._bus, committed=self._committed, held=None, now=self._clock.now)
        sights, named = await audit.look(partition, doubtful)
        lost = {each.id for each in named}
        for about in doubtful:
            if about not in lost:
                corrected(entries[about], sights.get(about), self._clock.now())
                self._young[partition][about] = entries[about]
        return named

    def _forget(self, now: float) -> None:
        """Forget windows whose sums agree: from memory alone, the changelog's retention ends them there."""
        data = self._flows.data
        for key, window in [key for key in data if key[1][1] < now - KEEP]:
            name, _, kind = key.rpartition("/")
            if kind == "accepted" and data.get((key, window)) == data.get((f"{name}/ended", window)):
                data.pop((key, window), None)
                data.pop((f"{name}/ended", window), None)

    async def _tell(self, lost: Iterable[tuple[int, Named]], now: float) -> None:
        counts: Counter[tuple[str, int]] = Counter()
        for number, (partition, named) in enumerate(lost):
            counts[named.customer, partition] += 1
            if number < NAMED_MOST:
                log.error("id=%s customer=%s event=ledger-imbalance fault=%s", named.id, named.customer, named.fault)
        signals = [
            Signal(
                subject=f"{customer}/{partition}",
                kind=Kind.LEDGER_IMBALANCE,
                customer=customer,
                count=count,
                window_s=GRACE,
                until=now + LAPSE,
                at=now,
            )
            for (customer, partition), count in counts.items()
        ]
        await self._bus.publish(signals)

    def flows(self) -> dict[str, tuple[int, int]]:
        """Return accepted and ended recipients of each customer, in the windows that are kept."""
        found: dict[str, list[int]] = {}
        for (key, _window), count in self._flows.data.items():
            _, _, rest = key.partition("/")
            customer, _, kind = rest.rpartition("/")
            found.setdefault(customer, [0, 0])[kind == "ended"] += count
        return {customer: (accepted, ended) for customer, (accepted, ended) in found.items()}
