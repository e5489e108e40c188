"""What looks on beside live traffic costs it: python -m bench.beside FOLDER

One data folder, one `gatepost up` after another on it: alone and with `gatepost replay` running over what came before,
again and again, then with a shadow on all live mail. Each turn sends the folder's messages at a steady rate, at times
that know nothing of each other but are the same for each kind, and notes when they arrive.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random

import uvloop

from bench.dns import NameServer
from bench.house import COMMAND, DOMAIN, House, NotUp
from bench.ledger import Figures, Ledger, percentile
from bench.load import NoConnectionError, open_loop
from bench.messages import Message, load
from bench.sink import Sink

WARM_UP = 50  # messages before anything is measured
QUIET = 30.0  # seconds without an arrival after which what is missing counts as lost
POLICY = """\
customers:
  - id: bench
    domains:
      - {{name: {domain}, relay: ["127.0.0.1:{port}"], recipients: any}}
    policy:
      rules: [{{name: held, when: {{min_score: 3}}, then: quarantine}}]
"""
BESIDE = {
    "alone": {},
    "a shadow of content": {"GATEPOST_SHADOW": "content"},
    "replay of a policy, again and again": {},
}


class Turns:
    """The figures of each kind of turn."""

    def __init__(
        self, folder: Path, messages: Sequence[Message], rate: float, count: int, kinds: Sequence[str] = tuple(BESIDE)
    ) -> None:
        self._folder = folder
        self._messages = messages
        self._rate = rate
        self._count = count
        self._runs = 0
        self.replays = 0
        self.figures: dict[str, list[Figures]] = {name: [] for name in kinds}

    async def run(self, names: Sequence[str], sink: Sink, dns: str) -> None:
        """Start Gatepost, send beside each of these, which have the same settings, and note what was seen."""
        async with House(self._folder, sink.port, dns, environ=BESIDE[names[0]]) as house:
            await self._send(house, sink, WARM_UP, Random(0))  # noqa: S311 - times of messages, no secret
            for name in names:
                async with self._replaying(sink.port) if name.startswith("replay") else contextlib.nullcontext():
                    times = Random(len(self.figures[name]))  # noqa: S311 - as above
                    self.figures[name].append(await self._send(house, sink, self._count, times))

    async def _send(self, house: House, sink: Sink, count: int, times: Random) -> Figures:
        ledger = Ledger(self._runs, self._messages, count, DOMAIN)
        self._runs += 1
        sink.note = ledger.note
        await open_loop(house.port, self._rate, ledger.entries, times)
        await ledger.settled(QUIET, 1.0)
        return ledger.figures()

    @contextlib.asynccontextmanager
    async def _replaying(self, port: int) -> AsyncIterator[None]:
        policy = self._folder / "changed.yaml"
        policy.write_text(POLICY.format(domain=DOMAIN, port=port))
        words = ("replay", "--from", "1d", "--policy", str(policy), "--data", str(self._folder / "data"))

        async def again() -> None:
            while True:
                process = await asyncio.create_subprocess_exec(*COMMAND, *words, stdout=asyncio.subprocess.DEVNULL)
                try:
                    if await process.wait():
                        raise NotUp(f"replay ended with exit code {process.returncode}")
                finally:
                    if process.returncode is None:
                        process.kill()
                        await process.wait()
                self.replays += 1

        running = asyncio.create_task(again(), name="replay")
        try:
            yield
        finally:
            running.cancel()
            (outcome,) = await asyncio.gather(running, return_exceptions=True)
            if isinstance(outcome, NotUp):
                raise outcome


def report(figures: dict[str, list[Figures]], rate: float) -> str:
    """Return the table: percentiles over all turns together, and each p99 against that of nothing beside."""
    taken = {name: sorted(took for each in some for took in each.end_to_end_ms) for name, some in figures.items()}
    p99 = {name: percentile(took, 0.99) for name, took in taken.items()}
    lines = [
        f"| beside {rate:g} messages a second | arrived after, p50 ms | p99 ms | p99 against alone | lost |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, some in figures.items():
        p50, lost = percentile(taken[name], 0.5), sum(each.lost for each in some)
        lines.append(f"| {name} | {p50:.1f} | {p99[name]:.1f} | {p99[name] / p99['alone']:.2f} | {lost} |")
    return "\n".join(lines)


def together(kinds: Sequence[str], turn: int) -> list[list[str]]:
    """Return the kinds that can share a start, each of them first in its turn: a start makes more of a difference."""
    shared: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for kind in kinds:
        shared.setdefault(tuple(BESIDE[kind].items()), []).append(kind)
    return [some[turn % len(some) :] + some[: turn % len(some)] for some in shared.values()]


async def main(chosen: argparse.Namespace) -> int:
    """Run all turns, print the table, and return the exit code: 1 when anything was lost."""
    messages = load(chosen.folder)
    if not messages:
        raise SystemExit(f"{chosen.folder}: no messages")
    with tempfile.TemporaryDirectory(dir=chosen.data, prefix="gatepost-beside-") as name:
        kinds = [kind for kind in BESIDE if kind == "alone" or chosen.only in kind]
        turns = Turns(Path(name), messages, chosen.rate, chosen.messages, kinds)
        async with Sink() as sink, NameServer() as names:
            for turn in range(chosen.repeat):
                for some in together(kinds, turn):
                    print(f"turn {turn + 1} of {chosen.repeat}: {', '.join(some)}", file=sys.stderr)
                    await turns.run(some, sink, names.address)
    print(report(turns.figures, chosen.rate))
    print(f"\n{chosen.messages} messages a turn, {chosen.repeat} turns, {turns.replays} whole replays in theirs.")
    return 1 if any(each.lost for some in turns.figures.values() for each in some) else 0


if __name__ == "__main__":
    options = argparse.ArgumentParser(prog="python -m bench.beside", description=__doc__)
    options.add_argument("folder", type=Path, help="of messages, one a file")
    options.add_argument("--messages", type=int, default=600, help="of each turn")
    options.add_argument("--rate", type=float, default=20.0, help="messages a second")
    options.add_argument("--repeat", type=int, default=3, help="turns of each kind")
    options.add_argument("--only", default="", help="beside nothing and what has this in its name")
    options.add_argument("--data", type=Path, default=None, help="where the data folder is made; a real disk")
    try:
        sys.exit(uvloop.run(main(options.parse_args())))
    except (NotUp, NoConnectionError) as error:
        sys.exit(f"bench: {error}")
