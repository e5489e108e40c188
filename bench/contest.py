"""The report of contestants side by side: one table, a row for each contestant in each setting."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from bench.ledger import percentile
from bench.measure import SELF
from bench.report import Run, table
from bench.usage import Use

LEGEND = """\
accept: milliseconds from MAIL FROM: to the 250 after the final dot. end to end: to the last octet at the customer's
MTA. /s: messages that arrived a second. CPU: processor seconds for 1,000 messages, by process. RSS: resident MB at the
end of the last run. Medians over the turns; refused, lost, twice and changed bodies are sums. bench: the processor
seconds for 1,000 messages of the generator and sink, which share the cores. others: the share of the cores that the
rest of the machine took, at the worst; beside much of it a run is void."""
NOTES = """\
Each contestant runs alone, from its own start through all settings; the contestants alternate, turn by turn.
Nothing is refused for spam or by a policy on any side, so that all that was sent can be compared.
Postfix as Debian brings it: its queue is synced, in_flow_delay holds.
rspamd without Redis, so without Bayes; SpamAssassin with local tests only; all DNS is NXDOMAIN at once.
clamd has one signature, EICAR's: its real base is not to be had offline. With it clamd costs each of them more.
Gatepost: each message is stored and synced, and its event acknowledged by Kafka, before the 250.
changed: the octets after the first empty line differ. Postfix breaks lines over 998 octets when it relays.
""".splitlines()


def report(facts: Mapping[str, str], runs: Mapping[tuple[str, str], Sequence[Run]], notes: Sequence[str]) -> str:
    """Return the whole report; the runs by setting and contestant, in the order in which rows are shown."""
    width = max(map(len, facts))
    head = "\n".join(f"    {name:<{width}}  {value}" for name, value in facts.items())
    order = list(dict.fromkeys(setting for setting, _ in runs))
    rows = [_row(setting, name, found) for at in order for (setting, name), found in runs.items() if setting == at]
    columns = ("setting", "contestant", "sent", "accept p50", "p99", "end to end p50", "p99", "/s", "CPU s/1,000")
    more = ("RSS MB", "refused", "lost", "twice", "changed", "bench", "others")
    shown = table((*columns, *more), rows)
    return "\n\n".join(("# bench/peers", head, LEGEND, shown, "\n".join(f"- {n}" for n in (*NOTES, *notes)))) + "\n"


def told(troubles: Sequence[str]) -> list[str]:
    """Return the note on Gatepost's log."""
    first = f", the first: {troubles[0][:200]}" if troubles else ""
    return [f"{len(troubles)} warnings and errors in Gatepost's log over all turns{first}."]


def _row(setting: str, name: str, runs: Sequence[Run]) -> Sequence[str]:
    figures = [run.figures for run in runs]
    last = runs[-1].used
    return (
        setting,
        name,
        str(sum(each.sent for each in figures)),
        _middle(runs, lambda run: percentile(run.figures.accept_ms, 0.5)),
        _middle(runs, lambda run: percentile(run.figures.accept_ms, 0.99)),
        _middle(runs, lambda run: percentile(run.figures.end_to_end_ms, 0.5)),
        _middle(runs, lambda run: percentile(run.figures.end_to_end_ms, 0.99)),
        _middle(runs, lambda run: run.figures.arrived_per_s),
        _by_part({part: _cpu(runs, part) for part in last if part != SELF}),
        _by_part({part: use.rss / 1_000_000 for part, use in last.items() if part != SELF}, "{:.0f}"),
        str(sum(each.refused for each in figures)),
        str(sum(each.lost for each in figures)),
        str(sum(each.twice for each in figures)),
        str(sum(each.changed_bodies for each in figures)),
        f"{_cpu(runs, SELF):.1f}",
        f"{max(run.others for run in runs):.0%}",
    )


def _cpu(runs: Sequence[Run], part: str) -> float:
    return statistics.median(run.used.get(part, Use()).cpu * 1000 / max(1, run.figures.accepted) for run in runs)


def _by_part(values: Mapping[str, float], form: str = "{:.1f}") -> str:
    parts = ", ".join(f"{part.partition(' (')[0]} {form.format(value)}" for part, value in sorted(values.items()))
    return f"{form.format(sum(values.values()))} = {parts}"


def _middle(runs: Sequence[Run], value: Callable[[Run], float]) -> str:
    return f"{statistics.median(map(value, runs)):.1f}"
