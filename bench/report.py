"""The report of a bench: Markdown whose tables are aligned, so that it reads in a terminal too."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence

from bench.ledger import Figures, percentile
from bench.usage import Use

SPEED = (
    "Milliseconds from MAIL FROM: to the 250 after the final dot, and to the last octet at the customer's MTA.\n"
    "Medians over the runs, least and most in brackets; refused, lost, twice and changed are sums.\n"
    "others: the share of the cores that the rest of the machine took, at the worst; beside much of it a run is void."
)
COST = "Processor milliseconds for a message (= seconds for 1,000), and resident MB at the end of the last run."


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One run of one setting."""

    figures: Figures
    late_ms: float  # the most that a message began after its time; 0 in a closed loop
    used: Mapping[str, Use]  # processor seconds of this run, and resident octets at its end
    others: float  # the share of all cores that processes outside the bench took: much of it spoils the run


def report(facts: Mapping[str, str], settings: Mapping[str, Sequence[Run]], notes: Sequence[str]) -> str:
    """Return the whole report. Each figure is the median over a setting's runs; counts are sums."""
    width = max(map(len, facts))
    head = "\n".join(f"    {name:<{width}}  {value}" for name, value in facts.items())
    parts = [
        "# bench/pipeline",
        head,
        SPEED,
        _speed(settings),
        COST,
        _cost(settings),
        "\n".join(f"- {note}" for note in notes),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _speed(settings: Mapping[str, Sequence[Run]]) -> str:
    columns = ("setting", "runs", "sent", "accepted/s", "arrived/s", "accept p50", "p99", "end to end p50", "p99")
    counts = ("refused", "lost", "twice", "changed", "begun late by", "others")
    rows = [
        (
            name,
            str(len(runs)),
            str(sum(run.figures.sent for run in runs)),
            _spread(runs, lambda f: f.accepted_per_s),
            _spread(runs, lambda f: f.arrived_per_s),
            _spread(runs, lambda f: percentile(f.accept_ms, 0.5)),
            _spread(runs, lambda f: percentile(f.accept_ms, 0.99)),
            _spread(runs, lambda f: percentile(f.end_to_end_ms, 0.5)),
            _spread(runs, lambda f: percentile(f.end_to_end_ms, 0.99)),
            *(str(sum(getattr(run.figures, count) for run in runs)) for count in counts[:-2]),
            f"{max(run.late_ms for run in runs):.0f} ms" if any(run.late_ms for run in runs) else "-",
            f"{max(run.others for run in runs):.0%}",
        )
        for name, runs in settings.items()
    ]
    return table((*columns, *counts), rows)


def _cost(settings: Mapping[str, Sequence[Run]]) -> str:
    parts = sorted({part for runs in settings.values() for run in runs for part in run.used})
    last = list(settings.values())[-1][-1]
    rows = [
        (part, *(_cpu(runs, part) for runs in settings.values()), _megabytes(last.used.get(part, Use())))
        for part in parts
    ]
    total = [f"{statistics.median(_each(runs, parts)):.2f}" for runs in settings.values()]
    rows.append(("all", *total, _megabytes(sum(last.used.values(), Use()))))
    return table(("process", *settings, "RSS"), rows)


def _each(runs: Sequence[Run], parts: Sequence[str]) -> list[float]:
    return [sum(run.used.get(part, Use()).cpu for part in parts) * 1000 / max(1, run.figures.accepted) for run in runs]


def _cpu(runs: Sequence[Run], part: str) -> str:
    return f"{statistics.median(_each(runs, [part])):.2f}"


def _megabytes(use: Use) -> str:
    return f"{use.rss / 1_000_000:.0f}"


def _spread(runs: Sequence[Run], value: Callable[[Figures], float]) -> str:
    values = [value(run.figures) for run in runs]
    middle = f"{statistics.median(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.1f}-{max(values):.1f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, figures to the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        return "| " + " | ".join((first, *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True)))) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join((line(head), rule, *map(line, rows)))
