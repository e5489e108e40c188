"""What became of a customer's mail, in figures: they are nobody's mail, so operators see them too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from schemas.events import State
from services.console import traffic_models
from services.console.book import Book
from services.console.caller import Caller, allowed
from services.console.depths import NOTHING, Waited, waited
from services.console.queues import QueueView
from services.console.roles import Act
from services.trace.index import Index, Sum
from services.trace.tally import HOUR, Kind, quantile

STEPS: Final[Mapping[int, int]] = {1: 1, 7: 6, 30: 24, 90: 72}  # days → hours of a step: at most thirty steps
DAY_HOURS: Final = 24

Names = dict[str, int]


class Figures:
    """Operations that count."""

    def __init__(self, book: Book, trace: Index, queues: QueueView, promise: float) -> None:
        self.book = book
        self._trace = trace
        self._queues = queues
        self._promise = promise

    @allowed(Act.FIGURES_SHOW)
    async def figures(self, caller: Caller, customer: str, days: traffic_models.Days = 7) -> traffic_models.Figures:  # noqa: ARG002 - `allowed` reads it
        """What became of a customer's mail over the last 1, 7, 30 or 90 days."""
        return await self._figures(customer, days)

    @allowed(Act.CUSTOMERS_SHOW)
    async def service_figures(self, caller: Caller, days: traffic_models.Days = 7) -> traffic_models.Figures:  # noqa: ARG002 - as above
        """What became of everybody's mail over the last 1, 7, 30 or 90 days."""
        return await self._figures(None, days)

    async def _figures(self, customer: str | None, days: int) -> traffic_models.Figures:
        now = self.book.clock.now()
        since, until, step = window(now, days)
        sums = await self._trace.tallies(customer, since, until, step)
        async with self.book.reading() as connection:
            queued = await waited(connection, customer, since, until, step)
        return figured(sums, range(since, until, step), self._promise, self._queues.depth(now, customer), queued)


def window(now: float, days: int, steps: Mapping[int, int] = STEPS) -> tuple[int, int, int]:
    """Return first hour, the hour after the last, and the hours of a step, of the days that end with this hour."""
    step = steps[days]
    until = int(now // HOUR) + 1
    return -(-(until - days * DAY_HOURS) // step) * step, until, step


def figured(
    sums: Iterable[Sum],
    hours: range,
    promise: float,
    queue: traffic_models.Depth,
    queued: Mapping[int, Waited] = MappingProxyType({}),
) -> traffic_models.Figures:
    """Return the figures of these hours since the epoch, in the range's steps; `queued` is by their first hours."""
    steps: dict[int, dict[Kind, Names]] = {start: _kinds() for start in hours}
    total = _kinds()
    for one in sums:
        for there in (steps.get(one.hour), total):
            if there is not None:
                there[one.kind][one.name] = there[one.kind].get(one.name, 0) + one.count
    return traffic_models.Figures(
        since=hours.start * HOUR,
        until=hours.stop * HOUR,
        step=hours.step * HOUR,
        points=[_point(start, found, promise, queued.get(start, NOTHING)) for start, found in steps.items()],
        totals=_totals(total),
        refused=_most(total[Kind.REFUSED]),
        stopped=_most(_united(total[Kind.HELD], total[Kind.DELETED])),
        threats=_most(total[Kind.THREAT]),
        viruses=_most(total[Kind.VIRUS]),
        latency=_latency(total[Kind.LATENCY], promise),
        queue=queue,
    )


def _kinds() -> dict[Kind, Names]:
    return defaultdict(dict)


def _sum(names: Names) -> int:
    return sum(names.values())


def _most(names: Names) -> Names:
    return dict(sorted(names.items(), key=lambda pair: (-pair[1], pair[0])))


def _united(one: Names, other: Names) -> Names:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _spans(latency: Names) -> dict[int, int]:
    return {int(bound): many for bound, many in latency.items()}


def _point(start: int, found: dict[Kind, Names], promise: float, queued: Waited) -> traffic_models.Point:
    spans = _spans(found[Kind.LATENCY])
    return traffic_models.Point(
        at=start * HOUR,
        received=_sum(found[Kind.IN]),
        delivered=found[Kind.ENDED].get(State.DELIVERED, 0),
        held=_sum(found[Kind.HELD]),
        deleted=_sum(found[Kind.DELETED]),
        refused=_sum(found[Kind.REFUSED]),
        threats=found[Kind.THREAT],
        p50=quantile(spans, 0.5) if spans else None,
        p95=quantile(spans, 0.95) if spans else None,
        within=_kept(spans, promise) if spans else None,
        waiting=queued.most,
        waited=queued.seconds,
    )


def _kept(spans: dict[int, int], promise: float) -> float:
    count = sum(spans.values())
    return sum(many for bound, many in spans.items() if bound <= promise * 1_000) / count if count else 1.0


def _totals(found: dict[Kind, Names]) -> traffic_models.Totals:
    ended = found[Kind.ENDED]
    return traffic_models.Totals(
        received=_sum(found[Kind.IN]),
        messages=_sum(found[Kind.MESSAGES]),
        octets=_sum(found[Kind.OCTETS]),
        delivered=ended.get(State.DELIVERED, 0),
        held=_sum(found[Kind.HELD]),
        deleted=_sum(found[Kind.DELETED]),
        refused=_sum(found[Kind.REFUSED]),
        bounced=ended.get(State.BOUNCED, 0),
        expired=ended.get(State.EXPIRED, 0),
        sent=_sum(found[Kind.OUT]),
    )


def _latency(latency: Names, promise: float) -> traffic_models.Latency:
    spans = _spans(latency)
    return traffic_models.Latency(
        count=sum(spans.values()),
        p50=quantile(spans, 0.5),
        p95=quantile(spans, 0.95),
        promise=promise,
        within=_kept(spans, promise),
    )
