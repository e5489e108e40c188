"""What looks on beside live traffic costs it: python -m bench.beside FOLDER

One `gatepost up`, alone and with `gatepost replay` running over what came before, again and again, in turns; then
another with a shadow on all live mail. First of all a history is sent: so that a replay is of something and not only
its own start, and because a broker just started is slow. Each turn then sends the folder's messages at a steady rate,
at times that know nothing of each other, and notes when they arrive. The times and the messages of a turn are the same
for each kind, so that each message is compared with itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random

import uvloop

from bench.dns import NameServer
from bench.house import COMMAND, DOMAIN, House, NotUp
from bench.ledger import Ledger, percentile
from bench.load import NoConnectionError, open_loop
from bench.messages import Message, load
from bench.sink import Sink

HISTORY_RATE = 30.0  # a second
RESAMPLES = 400  # of all messages, to say how sure a ratio is
TOGETHER = 20  # messages that are drawn together: what comes in one second waits for the same
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
        self, folder: Path, messages: Sequence[Message], rate: float, count: int, history: int, kinds: Sequence[str]
    ) -> None:
        self._folder = folder
        self._messages = messages
        self._rate = rate
        self._count = count
        self._runs = 0
        self._history = history
        self.replays: list[float] = []  # seconds that each took
        self.lost = dict.fromkeys(kinds, 0)
        self.took: dict[str, list[float]] = {name: [] for name in kinds}  # ms, in the order sent

    async def run(self, names: Sequence[str], repeat: int, sink: Sink, dns: str) -> None:
        """Start Gatepost, send beside each of these, which have the same settings, and note what was seen."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        async with House(folder, sink.port, dns, environ=BESIDE[names[0]]) as house:
            await self._send(house, sink, 0, self._history, HISTORY_RATE)
            for turn in range(repeat):
                for name in [*names[turn % len(names) :], *names[: turn % len(names)]]:
                    print(f"turn {turn + 1} of {repeat}: {name}", file=sys.stderr)
                    async with (
                        _replaying(folder, sink.port, self.replays)
                        if name.startswith("replay")
                        else contextlib.nullcontext()
                    ):
                        ledger = await self._send(house, sink, turn, self._count, self._rate)
                    self.took[name] += ledger.end_to_end_ms()
                    self.lost[name] += ledger.figures().lost

    async def _send(self, house: House, sink: Sink, turn: int, count: int, rate: float) -> Ledger:
        ledger = Ledger(self._runs, self._messages, count, DOMAIN, turn)
        self._runs += 1
        sink.note = ledger.note
        await open_loop(house.port, rate, ledger.entries, Random(turn))  # noqa: S311 - times, no secret
        await ledger.settled(QUIET, 1.0)
        return ledger


@contextlib.asynccontextmanager
async def _replaying(folder: Path, port: int, took: list[float]) -> AsyncIterator[None]:
    """Replay again and again meanwhile, and note how many seconds each whole one took."""
    policy = folder / "changed.yaml"
    policy.write_text(POLICY.format(domain=DOMAIN, port=port))
    words = ("replay", "--from", "1d", "--policy", str(policy), "--data", str(folder / "data"))

    async def again() -> None:
        while True:
            began = time.monotonic()
            process = await asyncio.create_subprocess_exec(*COMMAND, *words, stdout=asyncio.subprocess.DEVNULL)
            try:
                if await process.wait():
                    raise NotUp(f"replay ended with exit code {process.returncode}")
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            took.append(time.monotonic() - began)

    running = asyncio.create_task(again(), name="replay")
    try:
        yield
    finally:
        running.cancel()
        (outcome,) = await asyncio.gather(running, return_exceptions=True)
        if isinstance(outcome, NotUp):
            raise outcome


def report(took: dict[str, list[float]], lost: dict[str, int], rate: float) -> str:
    """Return the table: percentiles over all turns together, and each p99 against that of nothing beside.

    In brackets: where nine in ten of such ratios lie when as many messages are drawn from those that were seen.
    """
    p50, p99 = ({name: percentile(sorted(some), share) for name, some in took.items()} for share in (0.5, 0.99))
    chance = Random(1)  # noqa: S311 - chance that repeats
    lines = [
        f"| beside {rate:g} messages a second | arrived after, p50 ms | p99 ms | p99 against alone | lost |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, some in took.items():
        ratio = f"{p99[name] / p99['alone']:.3f}"
        if name != "alone":
            low, high = interval(some, took["alone"], chance)
            ratio += f" ({low:.3f} to {high:.3f})"
        lines.append(f"| {name} | {p50[name]:.1f} | {p99[name]:.1f} | {ratio} | {lost[name]} |")
    return "\n".join(lines)


def interval(these: Sequence[float], those: Sequence[float], chance: Random) -> tuple[float, float]:
    """Return between what the ratio of both p99 lies in nine of ten resamples (the bootstrap, of pairs in blocks)."""
    blocks = [slice(at, at + TOGETHER) for at in range(0, len(these), TOGETHER)]
    ratios = []
    for _ in range(RESAMPLES):
        drawn = chance.choices(blocks, k=len(blocks))
        p99, alone = (
            percentile(sorted(each for block in drawn for each in some[block]), 0.99) for some in (these, those)
        )
        ratios.append(p99 / alone)
    ratios.sort()
    return ratios[RESAMPLES // 20], ratios[-RESAMPLES // 20]


def together(kinds: Sequence[str]) -> list[list[str]]:
    """Return the kinds that can share a start: it makes a difference of a tenth by itself."""
    shared: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for kind in kinds:
        shared.setdefault(tuple(BESIDE[kind].items()), []).append(kind)
    return list(shared.values())


async def main(chosen: argparse.Namespace) -> int:
    """Run all turns, print the table, and return the exit code: 1 when anything was lost."""
    messages = load(chosen.folder)
    if not messages:
        raise SystemExit(f"{chosen.folder}: no messages")
    with tempfile.TemporaryDirectory(dir=chosen.data, prefix="gatepost-beside-") as name:
        kinds = [kind for kind in BESIDE if kind == "alone" or chosen.only in kind]
        turns = Turns(Path(name), messages, chosen.rate, chosen.messages, chosen.history, kinds)
        async with Sink() as sink, NameServer() as names:
            for some in together(kinds):
                await turns.run(some, chosen.repeat, sink, names.address)
    print(report(turns.took, turns.lost, chosen.rate))
    said = [f"{chosen.messages} messages a turn, {chosen.repeat} turns, after a history of {chosen.history}"]
    if turns.replays:
        said.append(f"{len(turns.replays)} whole replays, each {min(turns.replays):.0f} to {max(turns.replays):.0f} s")
    print(f"\n{'; '.join(said)}.")
    return 1 if any(turns.lost.values()) else 0


if __name__ == "__main__":
    options = argparse.ArgumentParser(prog="python -m bench.beside", description=__doc__)
    options.add_argument("folder", type=Path, help="of messages, one a file")
    options.add_argument("--messages", type=int, default=600, help="of each turn")
    options.add_argument("--history", type=int, default=3000, help="messages before the first turn")
    options.add_argument("--rate", type=float, default=20.0, help="messages a second")
    options.add_argument("--repeat", type=int, default=3, help="turns of each kind")
    options.add_argument("--only", default="", help="beside nothing and what has this in its name")
    options.add_argument("--data", type=Path, default=None, help="where the data folder is made; a real disk")
    try:
        sys.exit(uvloop.run(main(options.parse_args())))
    except (NotUp, NoConnectionError) as error:
        sys.exit(f"bench: {error}")
