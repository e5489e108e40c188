"""What a waiting message costs in memory, and what loading it costs in CPU, without a broker.

    python -m bench.shelf [--count 1000000]

CPU time is the process's own, so a machine that others share does not change it much.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

from bench.waiting import records
from schemas.catalog import DEFERRED, partition_of
from schemas.events import Customer, Domain, Host
from services.delivery.config import DeliveryConfig
from services.delivery.destinations import Destinations
from services.delivery.queue import DUE_MOST
from services.delivery.shelf import Shelf
from services.runtime.bus import Bus
from services.runtime.source import Raw

ALL = frozenset(range(DEFERRED.partitions))


def rss() -> float:
    """Return the resident memory, MB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


class Topic:
    """As much of a bus as a shelf reads: records as they come, none of them kept."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.spent = 0.0  # seconds of CPU in making them
        made = records(count, time.time())
        self._made = itertools.chain((next(made),), made)  # what it prepares is no turn of the shelf's

    async def read_raw(self, *_: object, **__: object) -> AsyncIterator[Raw]:
        """See `bus.Bus.read_raw`."""
        for number in range(self.count):
            began = time.process_time()
            key, value = next(self._made)
            raw = Raw(DEFERRED.name, partition_of(key, DEFERRED.partitions), number, key.encode(), value, 0.0)
            self.spent += time.process_time() - began
            yield raw


class Turns:
    """How long others wait for their turn in the loop, in CPU time."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        """Look, for ever."""
        while True:
            began = time.process_time()
            await asyncio.sleep(0)
            self.longest = max(self.longest, time.process_time() - began)


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=1_000_000)
    chosen = options.parse_args()
    topic = Topic(chosen.count)
    host = Host(host="dead.test")
    customer = Customer(id="dead", domains=(Domain(name="dead.test", relay=(host,)),))
    homes = Destinations(DeliveryConfig(hostname="mx.gatepost.test"), lambda _: customer)
    shelf = Shelf(cast("Bus", topic))
    before, turns = rss(), Turns()
    watching = asyncio.create_task(turns.watch())
    began = time.process_time()
    await shelf.load(ALL, lambda entry: homes.of(entry).number)
    loaded = time.process_time() - began - topic.spent
    began = time.process_time()
    (home,) = homes
    for count, key in enumerate(await shelf.keys(ALL)):
        home.waiting.add(key)
        if count % DUE_MOST == 0:
            await asyncio.sleep(0)
    sorted_in = time.process_time() - began
    began = time.process_time()
    home.flush()
    home.next_ready()
    flushed = time.process_time() - began
    each, now = (rss() - before) * 1_048_576 / chosen.count, rss()
    await shelf.drop(ALL)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    head = ("waiting", "RSS before", "RSS", "octets each", "load, CPU", "into order, CPU", "flush begins, CPU")
    print(f"| {' | '.join(head)} | longest turn of the loop, CPU |\n|" + "---|" * 8)
    print(
        f"| {chosen.count:,} | {before:.0f} MB | {now:.0f} MB | {each:.0f} | {loaded:.1f} s | {sorted_in:.1f} s "
        f"| {flushed * 1000:.1f} ms | {turns.longest * 1000:.0f} ms |"
    )


if __name__ == "__main__":
    asyncio.run(main())
