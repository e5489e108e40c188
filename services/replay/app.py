"""Replay: past events once more through candidate scanners or a candidate policy: who would be treated otherwise?

It is the consume loop over a window instead of a group. What it is handed can't act: the bus keeps to itself what is
published, the workers' store only reads, and nothing here knows delivery, the quarantine or a producer.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from schemas.catalog import DISPOSITIONS, RECEIVED, VERDICTS
from schemas.events import Customer, Disposition, Event, Received, Verdict
from services.core.clock import Clock
from services.core.errors import ObjectNotFound
from services.core.stored import kept_key
from services.replay.decide import (
    NOTHING_BESIDE,
    Beside,
    Difference,
    Treatment,
    as_joined,
    changed,
    complete,
    differences,
    joined,
    of_branches,
    treatments,
    with_candidates,
)
from services.runtime.aside import AsideBus
from services.runtime.bus import Record, Stateless, Tombstone
from services.runtime.consume import Consumer
from services.runtime.window import Span, Window
from services.scanners import decide as scanning
from services.scanners.contract import Finding, Spec

log = logging.getLogger("gatepost.replay")

IN_FLIGHT: Final = 32  # messages at a time: few, for live traffic comes first
STRAYS: Final = 20_000  # verdicts of messages that are not, or not yet, in the window
SLACK: Final = 60.0  # seconds by which the clocks of pods may differ: a verdict may seem older than its message


class Scans(Protocol):
    """A pool of candidate scanners."""

    async def scan(self, scanner: str, received: Received) -> Finding:
        """See `scanners.pool.Pool.scan`."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A scanner to try. `rescore` says what it makes of a recorded verdict alone, None when it can't."""

    spec: Spec
    rescore: Callable[[Verdict], Finding | None] = lambda _: None


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages are replayed: received from `since` to before `until`."""

    since: float
    until: float
    customer: str | None = None
    message: str | None = None

    def __contains__(self, received: object) -> bool:
        return (
            isinstance(received, Received)
            and self.since <= received.received_at < self.until
            and self.customer in (None, received.customer)
            and self.message in (None, received.id)
        )

    def spans(self) -> list[Span]:
        """Return what to read: the verdicts and dispositions of a message come after it, however late."""
        return [Span(RECEIVED, self.since - SLACK, self.until + SLACK)] + [
            Span(topic, self.since - SLACK) for topic in (VERDICTS, DISPOSITIONS)
        ]


@dataclasses.dataclass(slots=True)
class Found:
    """What a replay came to."""

    messages: int = 0
    differences: list[Difference] = dataclasses.field(default_factory=list)
    scans: Counter[str] = dataclasses.field(default_factory=Counter)  # object, kept, features, recorded
    incomplete: int = 0  # without a disposition, or without the verdicts that it was made of


@dataclasses.dataclass(slots=True)
class _Open:
    """A message of which not everything was read yet."""

    received: Received | None = None
    disposition: Disposition | None = None
    verdicts: list[Verdict] = dataclasses.field(default_factory=list)


class Replay(Stateless):
    """The Service behind the loop."""

    def __init__(
        self,
        wanted: Wanted,
        *,
        today: Mapping[str, Customer],
        policy: Mapping[str, Customer],
        candidates: Mapping[str, Candidate],
        pool: Scans | None,
        clock: Clock,
        tell: Callable[[Difference], None] = lambda _: None,
        beside: Beside = NOTHING_BESIDE,
    ) -> None:
        """`today`: the customers as they are; `policy`: those of them that are to be tried otherwise."""
        self.found = Found()
        self._wanted = wanted
        self._today = today
        self._policy = {**today, **policy}
        self._candidates = candidates
        self._pool = pool
        self._clock = clock
        self._tell = tell
        self._beside = beside
        self._open: dict[str, _Open] = {}
        self._strays: OrderedDict[str, _Open] = OrderedDict()

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """Take note, and compare once all of a message was read; never returns anything to publish."""
        match record.event:
            case Received() as received:
                if received not in self._wanted or received.recovered:
                    self._strays.pop(received.id, None)
                    return ()
                entry = self._open.get(received.id) or self._strays.pop(received.id, None) or _Open()
                self._open[received.id] = entry
                entry.received = received
            case Verdict() as verdict:
                entry = self._entry(verdict.id)
                entry.verdicts.extend(verdict.answers)
            case Disposition() as disposition:
                entry = self._entry(disposition.received.id)
                if disposition.release or entry.disposition is not None:
                    return ()  # let go by a person, or said again: neither is what policy decided first
                entry.disposition = disposition
            case _:
                return ()
        if entry.received and entry.disposition:
            verdicts = as_joined(entry.verdicts, entry.disposition)
            if complete(entry.disposition, verdicts):
                self._open.pop(entry.received.id, None)
                await self._compare(entry.received, entry.disposition, joined(entry.disposition, verdicts))
        return ()

    def _entry(self, message: str) -> _Open:
        entry = self._open.get(message) or self._strays.get(message)
        if entry is None:
            entry = self._strays[message] = _Open()
            if len(self._strays) > STRAYS:
                self._strays.popitem(last=False)
        return entry

    def close(self) -> Found:
        """Return the findings, once the window is at its end."""
        self.found.incomplete = len(self._open)
        return self.found

    async def _compare(self, received: Received, disposition: Disposition, verdicts: tuple[Verdict, ...]) -> None:
        self.found.messages += 1
        recorded = {verdict.scanner: verdict for verdict in verdicts}
        said = [await self._try(candidate, received, recorded) for candidate in self._candidates.values()]
        fresh = [verdict for verdict in said if verdict is not None]
        before = of_branches(disposition.branches)
        now = disposition.decided_at
        after = self._treatments(received, with_candidates(verdicts, fresh), self._policy, now)
        changes = [text for verdict in fresh if (text := changed(recorded.get(verdict.scanner), verdict)) is not None]
        found = differences(received, before, after, changes)
        if not found:
            return
        as_is = self._treatments(received, verdicts, self._today, now)
        for difference in found:
            same = all(as_is[name].effect == difference.after.effect for name in difference.recipients)
            told = dataclasses.replace(difference, drifted=same)
            self.found.differences.append(told)
            self._tell(told)

    def _treatments(
        self, received: Received, verdicts: Sequence[Verdict], customers: Mapping[str, Customer], now: float
    ) -> dict[str, Treatment]:
        customer = customers.get(received.customer) or Customer(id=received.customer)
        return treatments(received, verdicts, customer, now, self._beside)

    async def _try(self, candidate: Candidate, received: Received, recorded: Mapping[str, Verdict]) -> Verdict | None:
        """Return the candidate's verdict; None where only the recorded one can be had."""
        spec = candidate.spec
        own = recorded.get(spec.name)
        finding = await self._scan(spec.name, received)
        if finding is None and own is not None:
            finding = candidate.rescore(own)
            self.found.scans["features" if finding is not None else "recorded"] += 1
        elif finding is None:
            self.found.scans["nothing"] += 1
        if finding is None:
            return None
        return scanning.verdict(
            spec, received, finding, origin=own.origin if own is not None else -1, now=self._clock.now()
        )

    async def _scan(self, scanner: str, received: Received) -> Finding | None:
        if self._pool is None:
            return None
        for where, key in (("object", received.key), ("kept", kept_key(received.key))):
            try:
                finding = await self._pool.scan(scanner, msgspec.structs.replace(received, key=key))
            except ObjectNotFound:
                continue
            self.found.scans[where] += 1
            return finding
        return None


async def run(replay: Replay, window: Window, clock: Clock, in_flight: int = IN_FLIGHT) -> Found:
    """Replay the window to its end and return what was found; raises TooManyDeadLetters, and nothing temporary."""
    consumer = Consumer("replay", window, replay, AsideBus(), clock, max_in_flight=in_flight)
    stop = asyncio.Event()

    async def end() -> None:
        await window.exhausted.wait()
        stop.set()

    ending = asyncio.create_task(end(), name="replay-end")
    try:
        await consumer.run(stop)
    finally:
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
    return replay.close()
