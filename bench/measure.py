"""One run of one setting, whoever is measured: in at a port, out at the sink, and the processor seconds between."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping
from time import perf_counter

from bench import usage
from bench.ledger import Ledger
from bench.load import closed_loop, open_loop
from bench.report import Run
from bench.sink import Sink
from bench.usage import Use

QUIET = 30.0  # seconds without an arrival after which what is missing counts as lost
AFTER = 1.0  # seconds past the last arrival: second copies, and the work that a message leaves behind
SELF = "the bench itself"


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """A rate a second, or a number of connections."""

    name: str
    rate: float = 0.0
    connections: int = 0


def settings(rates: list[float], connections: list[int]) -> list[Setting]:
    """Return the settings of both lists, rates first."""
    found = [Setting(f"{rate:g}/s", rate=rate) for rate in rates]
    return found + [Setting(f"{count} connections", connections=count) for count in connections]


def add_settings(options: argparse.ArgumentParser) -> None:
    """Add what `settings` takes: --rates and --connections."""
    options.add_argument("--rates", type=_numbers, default=[20.0], help="messages a second, with commas")
    options.add_argument(
        "--connections", type=lambda text: [int(n) for n in _numbers(text)], default=[1, 8, 32], help="with commas"
    )


def _numbers(text: str) -> list[float]:
    return [float(word) for word in text.split(",") if word]


async def measure(
    port: int, setting: Setting, ledger: Ledger, sink: Sink, used: Callable[[], Mapping[str, Use]]
) -> Run:
    """Send the ledger's messages to the port and return what was seen.

    `used` returns what each part that is measured has used so far; the bench's own use is added.
    """

    def now() -> dict[str, Use]:
        return {**used(), SELF: usage.own()}

    sink.note = ledger.note
    before, machine, began = now(), usage.machine(), perf_counter()
    late = 0.0
    if setting.rate:
        late = await open_loop(port, setting.rate, ledger.entries)
    else:
        await closed_loop(port, setting.connections, ledger.entries)
    await ledger.settled(QUIET, AFTER)
    after, busy, took = now(), usage.machine() - machine, perf_counter() - began
    parts = {part: Use(use.cpu - before.get(part, Use()).cpu, use.rss) for part, use in after.items()}
    for reply in sorted({entry.reply for entry in ledger.entries if not entry.accepted})[:5]:
        print(f"  not accepted: {reply}", file=sys.stderr)
    others = (busy - sum(use.cpu for use in parts.values())) / took / usage.CORES
    return Run(ledger.figures(), late * 1000, parts, max(0.0, others))
