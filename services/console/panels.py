"""Figures as a page shows them: a chart, its legend, and the same figures as a table. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup

from services.console import charts
from services.console.texts import known, text
from services.console.traffic_models import Figures, Point
from services.trace.tally import HOUR

THREATS: Final = ("spam", "phishing", "virus", "suspicious")
DOOR: Final = "door"
NARROW: Final = "\N{NARROW NO-BREAK SPACE}"
KIB: Final = 1_024

Cells = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """One chart."""

    id: str
    title: str
    chart: Markup
    legend: tuple[str, ...]  # in the order of the colours; empty where one colour says it all
    head: Cells
    rows: Sequence[Cells]  # the first cell is what the row is about, all others are numbers


def panels(figures: Figures, language: str) -> list[Panel]:
    """Return the charts of the figures, without those that there is nothing for. It takes some 30 ms of CPU."""
    found = [
        _over_time(figures, language, "traffic", ("delivered", "held", "deleted", "refused"), _traffic),
        _layers(figures, language),
        _over_time(figures, language, "threats", THREATS, _threats),
        _latency(figures, language),
        _queue(figures, language),
    ]
    return [panel for panel in found if panel is not None]


def _traffic(point: Point) -> tuple[int, ...]:
    return point.delivered, point.held, point.deleted, point.refused


def _threats(point: Point) -> tuple[int, ...]:
    return tuple(point.threats.get(name, 0) for name in THREATS)


def _over_time(
    figures: Figures, language: str, name: str, series: Sequence[str], values: Callable[[Point], tuple[int, ...]]
) -> Panel:
    title = text(f"panel.{name}", language)
    names = tuple(text(f"figure.{each}", language) for each in series)
    counted = [values(point) for point in figures.points]
    columns = [(names[place], [each[place] for each in counted]) for place in range(len(names))]
    rows = [
        (_when(point.at, figures.step), *map(number, each)) for point, each in zip(figures.points, counted, strict=True)
    ]
    chart = charts.stacked(title, _labels(figures), columns)
    return Panel(name, title, chart, names, (text("when.utc", language), *names), rows)


def _layers(figures: Figures, language: str) -> Panel | None:
    by_layer = {**figures.stopped, DOOR: figures.totals.refused}
    found = sorted(((name, many) for name, many in by_layer.items() if many), key=lambda pair: (-pair[1], pair[0]))
    if not found:
        return None
    title = text("panel.layers", language)
    named = [(layer(name, language), many) for name, many in found]
    rows = [(name, number(many)) for name, many in named]
    rows += [(f"{layer(DOOR, language)}: {reason}", number(many)) for reason, many in figures.refused.items()]
    head = (text("figure.layer", language), text("figure.stopped", language))
    return Panel("layers", title, charts.bars(title, named), (), head, rows)


def _latency(figures: Figures, language: str) -> Panel | None:
    if not figures.latency.count:
        return None
    title = text("panel.latency", language)
    promise = figures.latency.promise
    names = (text("figure.p50", language), text("figure.p95", language), text("figure.promise", language))
    columns: list[charts.Series] = [
        (names[0], [point.p50 for point in figures.points]),
        (names[1], [point.p95 for point in figures.points]),
        (names[2], [promise] * len(figures.points)),
    ]
    rows = [
        (_when(point.at, figures.step), seconds(point.p50), seconds(point.p95), percent(point.within))
        for point in figures.points
        if point.within is not None
    ]
    chart = charts.lines(title, _labels(figures), columns, seconds)
    kept = text("report.promise", language, promise=seconds(promise))
    return Panel("latency", title, chart, names, (text("when.utc", language), *names[:2], kept), rows)


def _queue(figures: Figures, language: str) -> Panel | None:
    if not any(point.waiting for point in figures.points):
        return None
    title = text("panel.queue", language)
    head = (text("when.utc", language), text("figure.waiting", language), text("figure.waited", language))
    columns = [(head[1], [point.waiting for point in figures.points])]
    rows = [
        (_when(point.at, figures.step), number(point.waiting), age(point.waited))
        for point in figures.points
        if point.waiting
    ]
    return Panel("queue", title, charts.stacked(title, _labels(figures), columns), (), head, rows)


def layer(name: str, language: str) -> str:
    """Return what people call a layer; a scanner that we don't know by its own name."""
    return text(f"layer.{name}", language) if known(f"layer.{name}") else name


def number(value: int) -> str:
    """Return a count in groups of three digits (ISO 80000-1)."""
    return f"{value:,}".replace(",", NARROW)


def seconds(value: float | None) -> str:
    """Return a span of time with its unit; a dash for none."""
    if value is None:
        return "-"
    return f"{value * 1_000:.0f}{NARROW}ms" if value < 1 else f"{value:.1f}{NARROW}s"


def age(span: float) -> str:
    """Return a stretch of time as people say it: 40 s, 12 min, 5 h, 3 d."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if span >= length:
            return f"{int(span // length)}{NARROW}{unit}"
    return f"{max(0, int(span))}{NARROW}s"


def octets(value: int) -> str:
    """Return an amount of data with its unit (IEC 80000-13)."""
    size, units = float(value), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= KIB and len(units) > 1:
        size /= KIB
        units.pop(0)
    return f"{size:.0f}{NARROW}{units[0]}" if units[0] == "B" else f"{size:.1f}{NARROW}{units[0]}"


def percent(share: float) -> str:
    """Return a share of one; never 100 % of what is less than all."""
    return "100 %" if share >= 1 else f"{int(share * 1_000) / 10:.1f} %"


def _labels(figures: Figures) -> list[str]:
    # No two alike: of labels that say the same, pygal leaves none out.
    written = "%H:00" if figures.step == HOUR else "%m-%d" if figures.step >= HOUR * 24 else "%m-%d %H:00"
    return [datetime.fromtimestamp(point.at, UTC).strftime(written) for point in figures.points]


def _when(at: float, step: float) -> str:
    written = "%Y-%m-%d" if step >= HOUR * 24 else "%Y-%m-%d %H:00"
    return datetime.fromtimestamp(at, UTC).strftime(written)
