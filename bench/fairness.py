"""What one customer notices of another's dead MTA, and of another's flood.

    python -m bench.fairness [--waiting 100000] [--usual 0.2]

Starts `gatepost up`, and sends one customer's mail at a steady rate through all of it, from MAIL FROM to its MTA:
beside another customer that gets its usual mail, 50 times as much, or for whose dead MTA so many messages wait.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

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
  - id: dead
    domains:
      - {{name: dead.test, relay: ["127.0.0.1:1"], recipients: any}}
      - {{name: flooded.test, relay: ["127.0.0.1:{port}"], recipients: any}}
"""
WARM_UP = 2.0  # seconds
QUIET = 30.0  # seconds


class Runs:
    """One customer's mail beside another's, run after run; both arrive at one sink."""

    def __init__(self, house: House, sink: Sink, chosen: argparse.Namespace) -> None:
        self._house = house
        self._sink = sink
        self._chosen = chosen
        self._messages: list[Message] = [message(BODY)]
        self._number = 0

    async def run(self, beside: str = "", rate: float = 0.0, seconds: float = 0.0) -> tuple[list[float], float]:
        """Return the milliseconds that the customer's messages took, ascending, and how late the last one began.

        `beside` is the domain that gets `rate` messages a second meanwhile.
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

        self._sink.note = note
        async with asyncio.TaskGroup() as tasks:
            mine = tasks.create_task(open_loop(self._house.port, self._chosen.rate, own.entries))
            if rate:
                tasks.create_task(open_loop(self._house.port, rate, other.entries))
        await own.settled(QUIET, 0.5)
        if beside == "flooded.test":
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
        for _ in range(self._chosen.rounds):
            for name, (beside, rate) in rows.items():
                await self.run(beside, rate, WARM_UP)
                measured, began = await self.run(beside, rate)
                took[name] += measured
                late[name] = max(late[name], began)
        for name, measured in took.items():
            measured.sort()
            p50, p95 = percentile(measured, 0.5), percentile(measured, 0.95)
            print(
                f"| {name} | {len(measured)} | {p50:.0f} ms | {p95:.0f} ms | {late[name] * 1000:.0f} ms |", flush=True
            )


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--waiting", type=int, default=100_000)
    options.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    options.add_argument("--rounds", type=int, default=3, help="measurements of each kind")
    options.add_argument("--rate", type=float, default=10.0, help="messages a second of the customer")
    options.add_argument("--usual", type=float, default=0.2, help="messages a second of the other; 50 times in a flood")
    options.add_argument("--folder", type=Path, default=None, help="where everything lies meanwhile")
    chosen = options.parse_args()
    print("| the other customer | messages | p50 | p95 | sent late by at most |\n|" + "---|" * 5, flush=True)
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="bench-") as name:
        folder = Path(name)
        async with Sink() as sink, NameServer() as names:
            house = House(folder, sink.port, names.address, config=CONFIG)
            runs = Runs(house, sink, chosen)
            async with house:
                flood = f"gets {50 * chosen.usual:g} a second"
                usual = {"gets its usual mail": ("flooded.test", chosen.usual)}
                await runs.tell(usual | {flood: ("flooded.test", 50 * chosen.usual)})
                site = await asyncio.to_thread(find, folder / "data")  # and into how many partitions its topics are cut
                store = await open_store(site.store, {})
                await fill(site.kafka, chosen.waiting, store)
                await store.close()
            async with house:
                waiting = f"has {chosen.waiting:,} waiting for a dead MTA"
                dead = {waiting: ("dead.test", chosen.usual)}
                await runs.tell(dead | {f"{waiting}, and {flood}": ("dead.test", 50 * chosen.usual)})


if __name__ == "__main__":
    asyncio.run(main())
