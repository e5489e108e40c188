"""A million messages wait for one dead destination: memory, restart, and what another customer notices.

    python -m bench.deferred [--count 1000000] [--seconds 15]

Fills mail.deferred.v1 on an embedded broker, starts the delivery service on it, and sends another customer's mail
through it: before (an empty queue) and with the million.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bench.sink import Sink
from bench.waiting import BODY, disposition, fill
from schemas.events import Customer, Domain, Host
from services.core.stored import pack
from services.runtime.broker import running
from services.runtime.kafka import KafkaBus
from services.runtime.open_store import open_store
from services.runtime.provision import make_topics
from services.runtime.store import Store

ID = re.compile(rb"X-Gatepost: id=([0-9A-Z]{26})")


@contextlib.asynccontextmanager
async def delivery(address: str, store: Path, turns: Path | None = None) -> AsyncIterator[tuple[int, float]]:
    """Run the service; yield its process id and how long it took to serve. `turns`: see `bench.turns`."""
    read, write = os.pipe()
    os.set_inheritable(write, True)  # the signature is the library's
    environ = {
        **os.environ,
        "GATEPOST_KAFKA": address,
        "GATEPOST_STORE": str(store),
        "GATEPOST_HOSTNAME": "mx.gatepost.test",
        "GATEPOST_LOG_LEVEL": os.environ.get("GATEPOST_LOG_LEVEL", "ERROR"),
        "GATEPOST_NOTIFY_FD": str(write),
        "BENCH_TURNS": str(turns or ""),
    }
    module = "bench.turns" if turns else "services.delivery"
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, env=environ, pass_fds=(write,))
    os.close(write)
    try:
        if not await asyncio.to_thread(os.read, read, 16):
            raise SystemExit("delivery ended before it was ready")
        yield process.pid, time.perf_counter() - began
    finally:
        os.close(read)
        process.terminate()
        await process.wait()


def memory(pid: int) -> tuple[float, float]:
    """Return the resident memory now and at most, MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return tuple(int(re.search(rf"{name}:\s+(\d+)", text)[1]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[index, return-value]  # they are there


async def others(bus: KafkaBus, store: Store, sink: Sink, seconds: float, rate: float = 20.0) -> list[float]:
    """Send the living customer's mail; return the seconds from decision to arrival of each."""
    sent: dict[bytes, float] = {}
    took: list[float] = []

    def note(at: float, message: bytes) -> None:
        if (match := ID.search(message)) and match[1] in sent:
            took.append(at - sent.pop(match[1]))

    sink.note = note
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        made = disposition("alive", "alive.test", time.time())
        await store.put(made.received.key, [pack(made.received), BODY])
        sent[made.received.id.encode()] = time.perf_counter()
        await bus.publish([made], within=60)
        await asyncio.sleep(1 / rate)
    await asyncio.sleep(2.0)
    if sent:
        raise SystemExit(f"{len(sent)} messages of the other customer did not arrive")
    return took


def told(turns: Path, after: float, before: float) -> str:
    """Return how many long turns there were between two moments, and the longest of them."""
    pairs = [tuple(map(float, line.split())) for line in turns.read_text().splitlines()]
    long = [took for at, took in pairs if after <= at < before]
    return f"{len(long)}, at most {max(long) * 1000:.0f} ms" if long else "0"


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=1_000_000)
    options.add_argument("--seconds", type=float, default=15.0, help="of each measurement of the other customer")
    options.add_argument("--folder", type=Path, default=None, help="where everything lies meanwhile")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="bench-") as name:
        folder = Path(name)
        async with running(folder / "broker") as broker, Sink() as sink:
            address = await broker.start()
            await make_topics(address)
            bus = KafkaBus(address, "bench")
            store = await open_store(str(folder / "objects"), {})
            dead = Domain(name="dead.test", relay=(Host(host="127.0.0.1", port=1),))
            alive = Domain(name="alive.test", relay=(Host(host="127.0.0.1", port=sink.port),))
            await bus.publish([Customer(id="dead", domains=(dead,)), Customer(id="alive", domains=(alive,))], within=60)
            head = "| waiting | octets each | ready after | RSS | RSS at most | octets of RSS each | p50 | p95 |"
            print(f"{head} turns over 10 ms, loading | serving |\n|{'---|' * 10}", flush=True)
            empty = 0.0
            for count in (0, chosen.count):
                octets = await fill(address, count, store)
                turns = folder / "turns"
                async with delivery(address, folder / "objects", turns) as (pid, ready):
                    await others(bus, store, sink, 3.0)
                    took = await others(bus, store, sink, chosen.seconds)
                    now, most = memory(pid)
                    empty = empty or now
                    each = (now - empty) * 1_048_576 / count if count else 0
                    p50, p95 = statistics.median(took) * 1000, statistics.quantiles(took, n=20)[18] * 1000
                    print(
                        f"| {count:,} | {octets:.0f} | {ready:.1f} s | {now:.0f} MB | {most:.0f} MB | {each:.0f} "
                        f"| {p50:.1f} ms | {p95:.1f} ms | {told(turns, 0, ready)} | {told(turns, ready, 1e9)} |",
                        flush=True,
                    )
            await bus.close()
            await store.close()


if __name__ == "__main__":
    asyncio.run(main())
