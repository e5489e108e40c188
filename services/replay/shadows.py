"""What shadows said beside the live verdicts on the same messages. Pure: events in, a comparison out."""

from __future__ import annotations

import dataclasses
import statistics
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping

from schemas.events import Customer, Received, Shadow, Status, Verdict
from services.replay.decide import (
    NOTHING_BESIDE,
    Beside,
    Difference,
    Treatment,
    changed,
    differences,
    treatments,
    with_candidates,
)

EXAMPLES = 5  # of each change of treatment
NOTHING = "-"  # what a scanner says that isn't in the plan


@dataclasses.dataclass(slots=True)
class Compared:
    """One shadow beside its live scanner. Times are milliseconds of scanning, moments seconds since the epoch."""

    name: str
    scanner: str
    settings: tuple[tuple[str, str], ...] = ()  # the latest
    changed: bool = False  # it was told other things before
    engines: Counter[str] = dataclasses.field(default_factory=Counter)  # version and engine under which it spoke
    live_engines: Counter[str] = dataclasses.field(default_factory=Counter)
    since: float = 0.0
    until: float = 0.0
    received: int = 0  # messages that came in between its first and its last
    seen: int = 0  # of which it saw the content
    gone: int = 0  # which were done before it looked
    undecided: int = 0  # whose live verdicts are not all there
    compared: int = 0
    unavailable: Counter[str] = dataclasses.field(default_factory=Counter)  # reason
    live_unavailable: int = 0
    kinds: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)  # live and shadow status
    otherwise: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)  # treatments, in messages
    recipients: int = 0  # who would have been treated otherwise
    examples: dict[tuple[str, str], list[Difference]] = dataclasses.field(default_factory=dict)
    ms: array[float] = dataclasses.field(default_factory=lambda: array("d"))
    live_ms: array[float] = dataclasses.field(default_factory=lambda: array("d"))

    @property
    def silent_share(self) -> float:
        """Return the share of what it saw that it could not tell."""
        return sum(self.unavailable.values()) / self.seen if self.seen else 0.0

    @property
    def live_silent_share(self) -> float:
        """Return the same of the live scanner, a message counted however often it was asked again."""
        return self.live_unavailable / self.seen if self.seen else 0.0


@dataclasses.dataclass(slots=True)
class _Open:
    """A message of which not everything was read yet."""

    received: Received | None = None
    verdicts: dict[str, Verdict] = dataclasses.field(default_factory=dict)
    silent: set[str] = dataclasses.field(default_factory=set)  # scanners that once could not tell

    @property
    def complete(self) -> bool:
        """Whether all that policy waited for has answered."""
        return self.received is not None and all(
            name in self.verdicts and self.verdicts[name].status is not Status.UNAVAILABLE
            for name in self.received.plan
        )


class Comparison:
    """Takes messages and live verdicts in the order in which they came, and lets go of each message once it is told."""

    def __init__(
        self,
        said: Iterable[Shadow],
        customers: Mapping[str, Customer],
        beside: Beside = NOTHING_BESIDE,
    ) -> None:
        """`said`: everything of the shadows; of several answers of one on a message the latest counts."""
        self._customers = customers
        self._beside = beside
        self._found: dict[str, Compared] = {}
        self._said: dict[str, dict[str, Verdict]] = {}
        self._open: dict[str, _Open] = {}
        for shadow in said:
            self._said.setdefault(shadow.verdict.id, {})[shadow.name] = shadow.verdict
            found = self._found.setdefault(shadow.name, Compared(shadow.name, shadow.verdict.scanner))
            found.changed |= bool(found.engines) and found.settings != shadow.settings
            found.settings = shadow.settings
            if shadow.verdict.status is not Status.GONE:
                found.engines[_engine(shadow.verdict)] += 1
        self._times = array("d")  # when each message of the window came in

    def receive(self, received: Received) -> None:
        """Take a message, of the shadows' time or not."""
        if received.own or received.recovered:
            return
        self._times.append(received.received_at)
        if received.id not in self._said:
            return
        for name in self._said[received.id]:
            found = self._found[name]
            found.since = min(found.since or received.received_at, received.received_at)
            found.until = max(found.until, received.received_at)
        entry = self._open.setdefault(received.id, _Open())
        entry.received = received
        self._settle(received.id, entry)

    def answer(self, verdict: Verdict) -> None:
        """Take a live verdict."""
        if verdict.id not in self._said:
            return
        entry = self._open.setdefault(verdict.id, _Open())
        if verdict.status is Status.UNAVAILABLE:
            entry.silent.add(verdict.scanner)
        known = entry.verdicts.get(verdict.scanner)
        if known is None or known.status is Status.UNAVAILABLE:
            entry.verdicts[verdict.scanner] = verdict
        self._settle(verdict.id, entry)

    def close(self) -> list[Compared]:
        """Return the comparisons by name, once everything was read."""
        for entry in self._open.values():
            self._tell(entry)
        self._open.clear()
        for found in self._found.values():
            found.received = sum(found.since <= when <= found.until for when in self._times)
        return [self._found[name] for name in sorted(self._found)]

    def _settle(self, message: str, entry: _Open) -> None:
        if entry.complete:
            self._open.pop(message, None)
            self._tell(entry)
            self._said.pop(message, None)

    def _tell(self, entry: _Open) -> None:
        if entry.received is None:
            return  # older than the window
        for name, verdict in self._said[entry.received.id].items():
            self._count(self._found[name], entry, entry.received, verdict)

    def _count(self, found: Compared, entry: _Open, received: Received, said: Verdict) -> None:
        live = entry.verdicts.get(said.scanner)
        if said.status is Status.GONE:
            found.gone += 1
            return
        found.seen += 1
        found.ms.append(said.elapsed_ms)
        found.live_unavailable += said.scanner in entry.silent
        if live is not None and live.status not in {Status.UNAVAILABLE, Status.GONE}:
            found.live_ms.append(live.elapsed_ms)
            found.live_engines[_engine(live)] += 1
        if said.status is Status.UNAVAILABLE:
            found.unavailable[said.reason] += 1
            return
        if not entry.complete or any(verdict.status is Status.GONE for verdict in entry.verdicts.values()):
            found.undecided += 1
            return
        found.compared += 1
        found.kinds[NOTHING if live is None else live.status.value, said.status.value] += 1
        self._compare(found, entry, received, said)

    def _compare(self, found: Compared, entry: _Open, received: Received, said: Verdict) -> None:
        customer = self._customers.get(received.customer) or Customer(id=received.customer)
        heard = tuple(entry.verdicts.values())
        before = treatments(received, heard, customer, said.scanned_at, self._beside)
        after = treatments(received, with_candidates(heard, (said,)), customer, said.scanned_at, self._beside)
        why = changed(entry.verdicts.get(said.scanner), said)
        pairs = set()
        for difference in differences(received, before, after, () if why is None else (why,)):
            pair = _pair(difference.before, difference.after)
            pairs.add(pair)
            found.recipients += len(difference.recipients)
            some = found.examples.setdefault(pair, [])
            if len(some) < EXAMPLES:
                some.append(difference)
        found.otherwise.update(pairs)


def percentiles(times: array[float]) -> tuple[float, float]:
    """Return the 50th and 99th percentile, 0 for none."""
    if len(times) < 2:  # noqa: PLR2004 - quantiles of one value are itself
        return (times[0], times[0]) if times else (0.0, 0.0)
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[98]


def _pair(before: Treatment, after: Treatment) -> tuple[str, str]:
    return before.brief, after.brief


def _engine(verdict: Verdict) -> str:
    return f"{verdict.version}, {verdict.engine}" if verdict.engine else verdict.version
