"""Whether Gatepost became grossly slower: python -m bench.guard FOLDER

A short run beside one peer, compared with the table that is kept. Machines differ, so what is compared is Gatepost's
share of the peer in the same run: fails when one of the shares is FACTOR times worse than in the table. Processor
seconds and messages a second are compared; latencies are printed, since a neighbour on the machine triples them.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from itertools import dropwhile, takewhile
from pathlib import Path

import uvloop

from bench import peers
from bench.engines import PeerMissing
from bench.house import NotUp
from bench.load import NoConnectionError

KEPT = Path(__file__).with_name("results") / "peers.md"
FACTOR = 2.0
PEER, OURS = peers.CONTESTANTS["rspamd"].name, peers.CONTESTANTS["builtin"].name
RUN = ("--only", "rspamd,builtin", "--messages", "200", "--rates", "20", "--connections", "8", "--repeat", "1")
Rows = Mapping[tuple[str, str], Mapping[str, str]]


def rows(report: str) -> Rows:
    """Return the cells of a report of `bench.peers` by setting and contestant; a column's second name has a 2.

    The report's table is the first one: what stands below it was written by a person.
    """
    began = dropwhile(lambda line: line[:1] != "|", report.splitlines())
    table = takewhile(lambda line: line[:1] == "|", began)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    names: list[str] = []
    for name in lines[0]:
        names.append(f"{name} 2" if name in names else name)
    return {(cells[0], cells[1]): dict(zip(names, cells, strict=True)) for cells in lines[2:]}


def shares(found: Rows) -> dict[str, float]:
    """Return how many times worse Gatepost is than the peer, by what is compared; below 1 it is better."""

    def number(setting: str, name: str, column: str) -> float:
        return float(re.match(r"[\d.]+", found[setting, name][column])[0])  # type: ignore[index]  # a figure is there

    return {
        "CPU at 8 connections": number("8 connections", OURS, "CPU s/1,000")
        / number("8 connections", PEER, "CPU s/1,000"),
        "messages a second at 8 connections": number("8 connections", PEER, "/s") / number("8 connections", OURS, "/s"),
        "CPU at 20/s": number("20/s", OURS, "CPU s/1,000") / number("20/s", PEER, "CPU s/1,000"),
    }


def worse(kept: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """Return what is FACTOR times worse than it was."""
    return [
        f"{name}: {now[name]:.2f} times the peer's, {kept[name]:.2f} in {KEPT.name}"
        for name in kept
        if now[name] > FACTOR * kept[name]
    ]


def main(words: list[str]) -> int:
    """Return the exit code: 1 when something is grossly worse, or lost; 2 when it could not be measured."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder")
    options.add_argument("--install", action="store_true", help="have apt-get install the peer when it is missing")
    chosen = options.parse_args(words)
    try:
        if chosen.install:
            peers.install(["postfix", "rspamd"])
        report = uvloop.run(peers.main(peers.arguments([chosen.folder, *RUN])))
    except (NotUp, PeerMissing, NoConnectionError) as error:
        print(f"guard: {error}", file=sys.stderr)
        return 2
    print(report)
    found = rows(report)
    faults = worse(shares(rows(KEPT.read_text())), shares(found))
    faults += [
        f"{at}: {cells['lost']} lost" for (at, name), cells in found.items() if name == OURS and cells["lost"] != "0"
    ]
    for fault in faults:
        print(f"guard: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
