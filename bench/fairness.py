"""What one customer notices of another's dead MTA, and of another's flood: python -m bench.fairness

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
WARM_UP = 5.0  # seconds
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

    async def tell(self, name: str, beside: str = "", rate: float = 0.0) -> None:
        """Print a row of the table."""
        await self.run(beside, rate, WARM_UP)
        took, late = await self.run(beside, rate)
        p50, p95 = percentile(took, 0.5), percentile(took, 0.95)
        print(f"| {name} | {len(took)} | {p50:.0f} ms | {p95:.0f} ms | {late * 1000:.0f} ms |", flush=True)


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--waiting", type=int, default=100_000)
    options.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    options.add_argument("--rate", type=float, default=5.0, help="messages a second of the customer")
    options.add_argument("--usual", type=float, default=1.0, help="messages a second of the other; 50 times in a flood")
    options.add_argument("--folder", type=Path, default=None, help="where everything lies meanwhile")
    chosen = options.parse_args()
    print("| the other customer | messages | p50 | p95 | sent late by at most |\n|" + "---|" * 5, flush=True)
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="bench-") as name:
        folder = Path(name)
        async with Sink() as sink, NameServer() as names:
            house = House(folder, sink.port, names.address, config=CONFIG)
            runs = Runs(house, sink, chosen)
            async with house:
                await runs.tell("gets its usual mail", "flooded.test", chosen.usual)
                await runs.tell(f"gets {50 * chosen.usual:g} a second", "flooded.test", 50 * chosen.usual)
                site = await asyncio.to_thread(find, folder / "data")  # and into how many partitions its topics are cut
                store = await open_store(site.store, {})
                await fill(site.kafka, chosen.waiting, store)
                await store.close()
            async with house:
                await runs.tell(f"has {chosen.waiting:,} waiting for a dead MTA", "dead.test", chosen.usual)
                await runs.tell("the same, and gets 50 times its usual mail", "dead.test", 50 * chosen.usual)


if __name__ == "__main__":
    asyncio.run(main())
