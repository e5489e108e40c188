"""What one customer notices of another's dead MTA, and of another's flood.

    python -m bench.fairness [--waiting 100000] [--usual 0.2] [--part flood|slow|dead]

Starts `gatepost up`, and sends one customer's mail at a steady rate through all of it, from MAIL FROM to its MTA:
beside another customer that gets its usual mail, 50 times as much, or for whose dead MTA so many messages wait.

Mail comes as it does from many senders, each message at a time that knows nothing of the others'; the customer's own
comes at the same times beside each of the others.

A flood costs CPU, and on few cores everybody notices that, whoever's mail it is. So the same number is also sent to a
second domain of the customer itself: by what another's flood costs more than that, one stands behind the other.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from random import Random

from bench.dns import NameServer
from bench.house import House
from bench.ledger import Ledger, percentile
from bench.load import open_loop
from bench.messages import Message, message
from bench.sink import Sink
from bench.waiting import BODY, fill
from services.cli.site import find
from services.runtime.open_store import open_store

CONFIG = """\
customers:
  - id: alive
    domains:
      - {{name: {domain}, relay: ["127.0.0.1:{port}"], recipients: any}}
      - {{name: second.test, relay: ["127.0.0.1:{port}"], recipients: any}}
  - id: dead
    domains:
      - {{name: dead.test, relay: ["127.0.0.1:1"], recipients: any}}
      - {{name: slow.test, relay: ["127.0.0.1:SLOW"], recipients: any}}
      - {{name: flooded.test, relay: ["127.0.0.1:{port}"], recipients: any}}
"""
WARM_UP = 2.0  # seconds
DELAY = 4.0  # seconds that a slow MTA takes for each message: at 10 a second it falls behind with 20 connections
ARRIVES = frozenset({"flooded.test", "second.test", "slow.test"})
PARTS = ("flood", "slow", "dead")
QUIET = 30.0  # seconds


class Runs:
    """One customer's mail beside another's, run after run."""

    def __init__(self, house: House, sinks: tuple[Sink, ...], chosen: argparse.Namespace) -> None:
        self._house = house
        self._sinks = sinks
        self._chosen = chosen
        self._messages: list[Message] = [message(BODY)]
        self._number = 0

    async def run(self, beside: str, rate: float, turn: int, seconds: float = 0.0) -> tuple[list[float], float]:
        """Return the milliseconds that the customer's messages took, ascending, and how late the last one began.

        `beside` is the domain that gets `rate` messages a second meanwhile. `turn` says when messages come.
        """
        seconds = seconds or self._chosen.seconds
        own, other = (
            Ledger(self._number + at, self._messages, int(seconds * each), domain)
            for at, each, domain in ((0, self._chosen.rate, "example.test"), (1, rate, beside))
        )
        self._number += 2

        def note(at: float, wire: bytes) -> None:
            own.note(at, wire)
            other.note(at, wire)

        for sink in self._sinks:
            sink.note = note
        async with asyncio.TaskGroup() as tasks:
            port, mails = self._house.port, Random(turn)  # noqa: S311 - times of messages, no secret
            mine = tasks.create_task(open_loop(port, self._chosen.rate, own.entries, mails))
            tasks.create_task(open_loop(port, rate, other.entries, Random(~turn)))  # noqa: S311 - as above
        await own.settled(QUIET, 0.5)
        if beside in ARRIVES:
            await other.settled(QUIET, 0.5)
        figures = own.figures()
        if figures.lost or figures.refused:
            raise SystemExit(f"{figures.lost} of the customer's messages were lost and {figures.refused} refused")
        return list(figures.end_to_end_ms), mine.result()

    async def tell(self, rows: dict[str, tuple[str, float]]) -> None:
        """Print a row for each (domain, rate) beside which the customer's mail is sent; all in turn, round by round.

        In turn, as what else the machine does changes by the minute.
        """
        took: dict[str, list[float]] = {name: [] for name in rows}
        late = dict.fromkeys(rows, 0.0)
        busy = dict.fromkeys(rows, 0.0)
        for turn in range(self._chosen.rounds):
            for name, (beside, rate) in rows.items():
                await self.run(beside, rate, turn, WARM_UP)
                before = cores()
                measured, began = await self.run(beside, rate, turn)
                took[name] += measured
                busy[name] += share(before, cores()) / self._chosen.rounds
                late[name] = max(late[name], began)
        for name, measured in took.items():
            measured.sort()
            p50, p95 = percentile(measured, 0.5), percentile(measured, 0.95)
            print(
                f"| {name} | {len(measured)} | {p50:.0f} ms | {p95:.0f} ms | {late[name] * 1000:.0f} ms "
                f"| {busy[name]:.0%} |",
                flush=True,
            )


def cores() -> tuple[int, int]:
    """Return how many ticks the machine's cores have been idle, and have been there."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def share(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Return how much of the machine's cores was used between two looks, 0 to 1."""
    return 1 - (after[0] - before[0]) / max(1, after[1] - before[1])


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--waiting", type=int, default=100_000)
    options.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    options.add_argument("--rounds", type=int, default=3, help="measurements of each kind")
    options.add_argument("--rate", type=float, default=10.0, help="messages a second of the customer")
    options.add_argument("--usual", type=float, default=0.2, help="messages a second of the other; 50 times in a flood")
    options.add_argument("--folder", type=Path, default=None, help="where everything lies meanwhile")
    options.add_argument("--part", choices=PARTS, default=None, help="only this one")
    chosen = options.parse_args()
    parts = PARTS if chosen.part is None else (chosen.part,)
    many = 50 * chosen.usual
    usual, flood = {"gets its usual mail": ("flooded.test", chosen.usual)}, f"gets {many:g} a second"
    head = "| the other customer | messages | p50 | p95 | sent late by at most | of the cores in use |"
    print(f"{head}\n|" + "---|" * 6, flush=True)
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="bench-") as name:
        folder = Path(name)
        async with Sink() as sink, Sink(DELAY) as slow, NameServer() as names:
            house = House(folder, sink.port, names.address, config=CONFIG.replace("SLOW", str(slow.port)))
            runs = Runs(house, (sink, slow), chosen)
            async with house:
                own = {f"gets its usual mail; the customer itself {many:g} a second more": ("second.test", many)}
                if "flood" in parts:
                    await runs.tell(usual | own | {flood: ("flooded.test", many)})
                if "slow" in parts:
                    late = {f"{flood}, for an MTA that takes {DELAY:g} s for each": ("slow.test", many)}
                    await runs.tell(usual | own | late)
            if "dead" in parts:
                async with house:  # a second start, as the one that this is compared with
                    await runs.tell(usual)
                    site = await asyncio.to_thread(find, folder / "data")  # and how many partitions its topics have
                    store = await open_store(site.store, {})
                    await fill(site.kafka, chosen.waiting, store)
                    await store.close()
                async with house:
                    waiting = f"has {chosen.waiting:,} waiting for a dead MTA"
                    dead = {waiting: ("dead.test", chosen.usual)}
                    await runs.tell(dead | {f"{waiting}, and {flood}": ("dead.test", many)})


if __name__ == "__main__":
    asyncio.run(main())
