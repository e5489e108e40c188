"""What a waiting message costs in memory, and what loading it costs in CPU, without a broker.

    python -m bench.shelf [--count 1000000]

CPU time is the process's own, so a machine that others share does not change it much.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

from bench.deferred import disposition
from schemas import wire
from schemas.catalog import DEFERRED, partition_of
from schemas.events import Customer, Deferred, Domain, Host
from services.core.ids import message_id
from services.delivery.config import DeliveryConfig
from services.delivery.destinations import Destinations
from services.delivery.shelf import Shelf
from services.runtime.bus import Bus
from services.runtime.source import Raw

TEMPLATES = 500


def rss() -> float:
    """Return the resident memory, MB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


class Topic:
    """As much of a bus as a shelf reads: records as they come, none of them kept."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.spent = 0.0  # seconds of CPU in making them
        self._templates: list[tuple[bytes, bytes]] = []
        for number in range(TEMPLATES):
            made = disposition("dead", "dead.test", time.time() - number)
            entry = Deferred(
                disposition=made,
                branch=0,
                recipients=made.branches[0].recipients,
                attempts=0,
                since=made.decided_at,
                next_at=made.decided_at + 60,
                reply="the destination is down",
            )
            self._templates.append((made.received.id.encode(), wire.encode(entry)))

    async def read_raw(self, *_: object, **__: object) -> AsyncIterator[Raw]:
        """See `bus.Bus.read_raw`."""
        for number in range(self.count):
            began = time.process_time()
            old, value = self._templates[number % TEMPLATES]
            message = message_id(time.time(), os.urandom)
            value = value.replace(old, message.encode()).replace(old[-9:].lower(), message[-9:].lower().encode())
            key = f"{message}/0"
            raw = Raw(DEFERRED.name, partition_of(key, DEFERRED.partitions), number, key.encode(), value, 0.0)
            self.spent += time.process_time() - began
            yield raw


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=1_000_000)
    chosen = options.parse_args()
    topic = Topic(chosen.count)
    host = Host(host="dead.test")
    customer = Customer(id="dead", domains=(Domain(name="dead.test", relay=(host,)),))
    homes = Destinations(DeliveryConfig(hostname="mx.gatepost.test"), lambda _: customer)
    shelf = Shelf(cast("Bus", topic))
    before, began = rss(), time.process_time()
    await shelf.load(frozenset(range(DEFERRED.partitions)), lambda entry: homes.of(entry).number)
    loaded = time.process_time() - began - topic.spent
    began = time.process_time()
    (home,) = homes
    for key in shelf.keys(frozenset(range(DEFERRED.partitions))):
        home.waiting[key] = None
    sorted_in = time.process_time() - began
    began = time.process_time()
    home.flush()
    flushed = time.process_time() - began
    print(
        "| waiting | RSS before | RSS | octets each | load, CPU | into order, CPU | flush begins, CPU |\n|" + "---|" * 7
    )
    each = (rss() - before) * 1_048_576 / chosen.count
    print(
        f"| {chosen.count:,} | {before:.0f} MB | {rss():.0f} MB | {each:.0f} | {loaded:.1f} s | {sorted_in:.1f} s "
        f"| {flushed * 1000:.0f} ms |"
    )


if __name__ == "__main__":
    asyncio.run(main())
