"""The whole pipeline on one machine: make bench ARGS="FOLDER"

Starts `gatepost up` on an empty data folder, sends the folder's messages to it at fixed rates and over so many
connections as fast as it takes them, and receives what it relays: both ends in this process, on one clock.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench import usage
from bench.dns import NameServer
from bench.facts import facts
from bench.house import DOMAIN, House, NotUp
from bench.ledger import Ledger
from bench.load import NoConnectionError
from bench.measure import SELF, Setting, add_settings, measure, settings
from bench.messages import Message, load
from bench.report import Run, report
from bench.sink import Sink

WARM_UP = 50  # messages before anything is measured


class Bench:
    """One Gatepost under load, run after run."""

    def __init__(self, messages: Sequence[Message], house: House, sink: Sink) -> None:
        self._messages = messages
        self._house = house
        self._sink = sink
        self._runs = 0

    async def run(self, setting: Setting, count: int) -> Run:
        """Send `count` messages and return what was seen."""
        self._house.check()
        ledger = Ledger(self._runs, self._messages, count, DOMAIN)
        self._runs += 1
        return await measure(self._house.port, setting, ledger, self._sink, lambda: usage.tree(self._house.pid))


async def main(chosen: argparse.Namespace) -> str:
    """Return the report."""
    messages = load(chosen.folder)
    if not messages:
        raise SystemExit(f"{chosen.folder}: no messages")
    chosen_settings = settings(chosen.rates, chosen.connections)
    runs: dict[str, list[Run]] = {setting.name: [] for setting in chosen_settings}
    with tempfile.TemporaryDirectory(dir=chosen.data, prefix="gatepost-bench-") as name:
        known = facts(Path(name), messages)
        async with Sink() as sink, NameServer() as names, House(Path(name), sink.port, names.address) as house:
            bench = Bench(messages, house, sink)
            await bench.run(Setting("warm-up", connections=4), WARM_UP)
            for turn in range(chosen.repeat):  # setting after setting in each turn: a noisy minute harms all alike
                for setting in chosen_settings:
                    print(f"run {turn + 1} of {chosen.repeat}: {setting.name}", file=sys.stderr)
                    runs[setting.name].append(await bench.run(setting, chosen.messages))
            troubles = house.troubles()
            asked = names.asked
    known["command"] = f"python -m bench.pipeline {chosen.folder.resolve().name} {chosen.words}".rstrip()
    notes = [
        "The customer's policy is one rule that delivers everything: nothing is held, and all of it can be compared.",
        "Each message is scanned by every built-in scanner as always.",
        f"Both ends share the cores with what they measure; the line `{SELF}` is their cost, the DNS server included.",
        f"{asked} DNS questions, all answered NXDOMAIN at once on loopback. No TLS on either side.",
        f"{len(troubles)} warnings and errors in Gatepost's log" + (f", the first: {troubles[0]}" if troubles else "."),
    ]
    return report(known, runs, notes)


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    options = argparse.ArgumentParser(
        prog="python -m bench.pipeline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("folder", type=Path, help="of messages, one a file")
    options.add_argument("--messages", type=int, default=600, help="of each run")
    add_settings(options)
    options.add_argument("--repeat", type=int, default=3, help="runs of each setting")
    options.add_argument("--data", type=Path, default=None, help="where the data folder is made; a real disk")
    options.add_argument("--out", type=Path, help="a file to keep the report in")
    chosen = options.parse_args(words)
    if not chosen.folder.is_dir():
        options.error(f"{chosen.folder} is not a folder")
    shown = ("messages", "rates", "connections", "repeat")
    chosen.words = " ".join(
        f"--{name} " + (",".join(f"{n:g}" for n in value) if isinstance(value, list) else str(value))
        for name in shown
        if (value := getattr(chosen, name)) != options.get_default(name)
    )
    return chosen


if __name__ == "__main__":
    arguments = _arguments(sys.argv[1:])
    try:
        text = uvloop.run(main(arguments))
    except (NotUp, NoConnectionError) as error:
        sys.exit(f"bench: {error}")
    print(text)
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)
