"""What the object store costs: put, get and delete of one size, in a folder and in S3, alone and 32 at a time.

    python -m bench.store FOLDER [s3://bucket/prefix]     the environment as for `gatepost up --store s3://…`

Prints p50 and p99 in ms, calls a second, CPU of this process per call, and the longest that the event loop was held.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable

import uvloop

from services.runtime.open_store import open_store
from services.runtime.s3_location import s3_location
from services.runtime.s3_provision import provision
from services.runtime.store import Store

COUNT = 1_600
SIZES = (5_000, 5_000_000)


async def measure(name: str, lanes: int, keys: list[str], call: Callable[[str], Awaitable[object]]) -> None:
    """Print what the calls cost when `lanes` of them are under way at a time."""
    times: list[float] = []
    todo = iter(keys)
    longest = 0.0

    async def heart() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before - 0.001)

    async def lane() -> None:
        for key in todo:
            begun = time.perf_counter()
            await call(key)
            times.append(time.perf_counter() - begun)

    beating = asyncio.create_task(heart())
    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(lane() for _ in range(lanes)))
    elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
    beating.cancel()
    await asyncio.wait([beating])
    quantiles = statistics.quantiles(times, n=100)
    print(
        f"{name:24} x{lanes:<3} p50 {quantiles[49] * 1e3:7.2f}  p99 {quantiles[98] * 1e3:7.2f} ms"
        f"  {len(times) / elapsed:7.0f}/s  CPU {cpu / len(times) * 1e6:6.0f} us  loop held {longest * 1e3:5.1f} ms"
    )


async def run(name: str, store: Store) -> None:
    """Print the figures of one store; what it wrote is deleted again."""
    for size in SIZES:
        body = os.urandom(size)
        parts = [b"head" * 100, *(body[at : at + 65_536] for at in range(0, size, 65_536))]
        for lanes in (1, 32):
            count = max(32, COUNT * 5_000 // size // (4 if lanes == 1 else 1))
            run_id = uuid.uuid4().hex.upper()
            keys = [f"mail/bench/{number % 1024:03x}/{run_id}{number}" for number in range(count)]

            async def put(key: str, parts: list[bytes] = parts) -> None:
                await store.put(key, parts)

            await measure(f"{name} put {size}", lanes, keys, put)
            await measure(f"{name} get {size}", lanes, keys, store.get)
            await measure(f"{name} delete {size}", lanes, keys, store.delete)


async def main(arguments: list[str]) -> None:
    """Measure every store that is named."""
    for url in arguments:
        if url.startswith("s3://"):
            await provision(s3_location(url, os.environ))
        store = await open_store(url, os.environ)
        await run("s3" if url.startswith("s3://") else "folder", store)
        await store.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:  # the name and one argument
        sys.exit(__doc__)
    uvloop.run(main(sys.argv[1:]))
