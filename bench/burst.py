"""A burst that comes faster than it can be scanned: python -m bench.burst FOLDER [--messages 10000]

All are sent over so many connections as fast as they are taken; then the log drains. Memory is looked at every second:
what waits must lie in the log and in the store, not in a process.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import uvloop

from bench import usage
from bench.dns import NameServer
from bench.facts import facts
from bench.house import DOMAIN, House, NotUp
from bench.ledger import Ledger, percentile
from bench.load import NoConnectionError
from bench.measure import SELF, measure, settings
from bench.messages import load
from bench.report import table
from bench.sink import Sink
from bench.usage import Use

WARM_UP = 200
LOOK_EVERY = 1.0  # seconds


async def main(chosen: argparse.Namespace) -> str:
    """Return the report."""
    messages = load(chosen.folder)
    looks: defaultdict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(dir=chosen.data, prefix="gatepost-burst-") as name:
        known = facts(Path(name), messages)
        async with Sink() as sink, NameServer() as names, House(Path(name), sink.port, names.address) as house:

            def used() -> dict[str, Use]:
                return usage.tree(house.pid)

            await measure(house.port, settings([], [8])[0], Ledger(0, messages, WARM_UP, DOMAIN), sink, used)
            looking = asyncio.create_task(_look(house.pid, looks), name="look")
            ledger = Ledger(1, messages, chosen.messages, DOMAIN)
            run = await measure(house.port, settings([], [chosen.connections])[0], ledger, sink, used)
            looking.cancel()
            troubles = len(house.troubles())
    figures = run.figures
    began = min(entry.started for entry in ledger.entries)
    taken = max(entry.replied for entry in ledger.entries) - began
    known["command"] = f"python -m bench.burst {chosen.folder.resolve().name} --messages {chosen.messages}"
    head = "\n".join(f"    {name:<18}{value}" for name, value in known.items())
    said = (
        f"{figures.accepted} of {figures.sent} accepted within {taken:.1f} s, {figures.accepted_per_s:.0f} a second; "
        f"accept p50 {percentile(figures.accept_ms, 0.5):.0f} ms, p99 {percentile(figures.accept_ms, 0.99):.0f} ms. "
        f"The last arrived after {ledger.last_arrival - began:.1f} s, {figures.arrived_per_s:.0f} a second. "
        f"Refused {figures.refused}, lost {figures.lost}, twice {figures.twice}, changed {figures.changed}; "
        f"{troubles} warnings and errors in the log. The rest of the machine took {run.others:.0%}."
    )
    rows = [
        (part, *(f"{value:.0f}" for value in (seen[0], max(seen), seen[-1])), f"{_cost(run.used, part, figures.sent)}")
        for part, seen in sorted(looks.items())
    ]
    rows.append((SELF, "-", "-", "-", _cost(run.used, SELF, figures.sent)))
    shown = table(("process", "MB before", "most", "at the end", "CPU ms/message"), rows)
    return f"# bench/burst\n\n{head}\n\n{said}\n\n{shown}\n"


def _cost(used: Mapping[str, Use], part: str, count: int) -> str:
    return f"{used.get(part, Use()).cpu * 1000 / count:.2f}"


async def _look(pid: int, looks: defaultdict[str, list[float]]) -> None:
    while True:
        for part, use in usage.tree(pid).items():
            looks[part].append(use.rss / 1_000_000)
        await asyncio.sleep(LOOK_EVERY)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--messages", type=int, default=10_000)
    options.add_argument("--connections", type=int, default=32)
    options.add_argument("--data", type=Path, default=None, help="where the data folder is made; a real disk")
    options.add_argument("--out", type=Path, help="a file to keep the report in")
    arguments = options.parse_args()
    try:
        text = uvloop.run(main(arguments))
    except (NotUp, NoConnectionError) as error:
        sys.exit(f"bench: {error}")
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text)
