"""A report as sections: the page, the sheet and the PDF say the same of the same. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from services.console import sheets
from services.console.panels import DOOR, layer, number, octets, percent, seconds
from services.console.texts import text
from services.console.traffic_models import Figures, Report, Top
from services.trace.tally import HOUR

TRAFFIC: Final = ("received", "delivered", "held", "deleted", "refused")

Cell = str | int


@dataclasses.dataclass(frozen=True, slots=True)
class Section:
    """A table: the first cell of a row is what it is about."""

    id: str
    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]


def sections(report: Report, language: str) -> list[Section]:
    """Return what the report says."""
    figures = report.figures
    many = text("figure.count", language)
    return [
        _traffic(figures, language),
        _named("threats", figures.threats, (text("report.type", language), many), language, "figure"),
        _layers(figures, language),
        _tops("senders", report.senders, language),
        _tops("recipients", report.recipients, language),
        _named("viruses", figures.viruses, (text("report.found", language), many), language),
        _latency(figures, language),
    ]


def title_of(report: Report, language: str) -> str:
    """Return what the report is of."""
    figures = report.figures
    return text("report.of", language, customer=report.customer, begin=date(figures.since), end=date(figures.until - 1))


def date(at: float) -> str:
    """Return the day in UTC (ISO 8601)."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def written(cell: Cell) -> str:
    """Return a cell for people."""
    return number(cell) if isinstance(cell, int) else cell


def sheet(report: Report, language: str) -> bytes:
    """Return the report as CSV, section by section."""
    lines = [sheets.BOM + sheets.line([title_of(report, language)])]
    for section in sections(report, language):
        lines += [sheets.line([]), sheets.line([section.title]), sheets.line(section.head)]
        lines += [sheets.line(row) for row in section.rows]
    return b"".join(lines)


def _traffic(figures: Figures, language: str) -> Section:
    head = (text("when.utc", language), *(text(f"figure.{name}", language) for name in TRAFFIC))
    form = "%Y-%m-%d" if figures.step >= 24 * HOUR else "%Y-%m-%d %H:00"
    rows: list[tuple[Cell, ...]] = [
        (
            datetime.fromtimestamp(point.at, UTC).strftime(form),
            *(point.received, point.delivered, point.held, point.deleted, point.refused),
        )
        for point in figures.points
    ]
    total = figures.totals
    sums = (total.received, total.delivered, total.held, total.deleted, total.refused)
    rows.append((text("report.total", language), *sums))
    return Section("traffic", text("report.traffic", language), head, rows)


def _named(name: str, found: Mapping[str, int], head: tuple[str, ...], language: str, prefix: str = "") -> Section:
    rows = [(text(f"{prefix}.{each}", language) if prefix else each, many) for each, many in found.items()]
    return Section(name, text(f"report.{name}", language), head, rows)


def _layers(figures: Figures, language: str) -> Section:
    rows: list[tuple[Cell, ...]] = [(layer(name, language), many) for name, many in figures.stopped.items()]
    rows += [(f"{layer(DOOR, language)}: {reason}", many) for reason, many in figures.refused.items()]
    head = (text("figure.layer", language), text("figure.count", language))
    return Section("layers", text("panel.layers", language), head, rows)


def _tops(name: str, found: Sequence[Top], language: str) -> Section:
    head = (text("address", language), text("report.messages", language))
    return Section(name, text(f"report.{name}", language), head, [(top.address, top.count) for top in found])


def _latency(figures: Figures, language: str) -> Section:
    found = figures.latency
    rows: list[tuple[Cell, ...]] = [
        (text("report.messages-in", language), figures.totals.messages),
        (text("report.size", language), octets(figures.totals.octets)),
        (text("report.at-once", language), found.count),
    ]
    if found.count:
        rows += [
            (text("figure.p50", language), seconds(found.p50)),
            (text("figure.p95", language), seconds(found.p95)),
            (text("report.promise", language, promise=seconds(found.promise)), percent(found.within)),
        ]
    return Section(
        "latency",
        text("report.latency", language),
        (text("report.what", language), text("report.value", language)),
        rows,
    )
