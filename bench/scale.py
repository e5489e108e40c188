"""Whether a scanner grows with its processes: python -m bench.scale [--processes 1,2,4,8]

The engine is a wait: each process has so many places (an engine's own threads), and each message holds one for so long.
Everything else is real: an embedded Kafka, the consume loop, the scanner's service, its verdicts. The backlog lies in
the topic before anybody reads it; what is counted are verdicts per second once every process has its partitions.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop

from bench import usage
from bench.report import table
from schemas import catalog
from schemas.catalog import RECEIVED, VERDICTS
from schemas.events import Envelope, Received, Status, Verdict
from services.core.clock import SystemClock
from services.core.ids import message_id
from services.runtime.broker import running
from services.runtime.consume import Consumer
from services.runtime.kafka import KafkaBus
from services.runtime.provision import make_topics
from services.scanners.app import ScannerService
from services.scanners.briefing import Briefings
from services.scanners.contract import Cost, Finding, Spec

PARTITIONS = 24  # even for 1, 2, 3, 4, 6 and 8 members
SETTLE = 4.0  # seconds from the first verdict in which members join and places fill
BATCH = 2_000  # events published together
STOPPED_WITHIN = 40.0  # seconds
CLEAN = Finding(status=Status.CLEAN)


class Waits:
    """The pool of a process whose engine takes its time."""

    def __init__(self, seconds: float, places: int) -> None:
        self._seconds = seconds
        self._places = asyncio.Semaphore(places)

    async def scan(self, scanner: str, received: Received, briefing: bytes) -> Finding:  # noqa: ARG002  # the port's
        """See `pool.Pool.scan`."""
        async with self._places:
            await asyncio.sleep(self._seconds)
        return CLEAN


async def member(kafka: str, name: str, seconds: float, places: int) -> None:
    """Be one process of the scanner until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    bus, clock = KafkaBus(kafka, f"bench-{name}"), SystemClock()
    spec = Spec(name, "1", Cost.NETWORK, timeout=60.0)
    service = ScannerService(spec, Waits(seconds, places), Briefings(lambda _customer: None), clock)
    # A few more than places: what is read too early is what a rebalance has to wait for.
    consumer = Consumer(
        service.group, bus.source(service.group, (RECEIVED,)), service, bus, clock, max_in_flight=2 * places
    )
    await consumer.run(stop)
    await bus.close()


async def plant(bus: KafkaBus, name: str, count: int) -> None:
    """Publish messages whose plan asks for the scanner."""
    now = time.time()
    for first in range(0, count, BATCH):
        events = []
        for number in range(first, min(first + BATCH, count)):
            one = message_id(now + number / 1000, os.urandom)
            events.append(
                Received(
                    id=one,
                    customer="bench",
                    domain="example.test",
                    key=f"mail/bench/{one[-2:]}/{one}",
                    envelope=Envelope(reverse_path="a@b.test", recipients=("c@example.test",), client_ip="192.0.2.1"),
                    size=5_000,
                    received_at=now,
                    server="mx.gatepost.test",
                    plan=(name,),
                )
            )
        await bus.publish(events, within=60.0)


@contextlib.asynccontextmanager
async def members(kafka: str, name: str, count: int, chosen: argparse.Namespace) -> AsyncIterator[list[int]]:
    """Run so many processes of the scanner; yield their ids."""
    words = ("--member", kafka, "--name", name, "--wait", str(chosen.wait), "--places", str(chosen.places))
    started = [await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.scale", *words) for _ in range(count)]
    try:
        yield [process.pid for process in started]
    finally:
        for process in started:
            if process.returncode is None:
                process.terminate()
        async with asyncio.timeout(STOPPED_WITHIN):
            await asyncio.gather(*(process.wait() for process in started))


class Seen:
    """When each verdict of a scanner came."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.first = asyncio.Event()

    async def follow(self, bus: KafkaBus, name: str) -> None:
        """Take them down until cancelled."""
        async for record in bus.follow(VERDICTS, asyncio.Event()):
            if isinstance(record.event, Verdict) and record.event.scanner == name:
                self.at.append(time.perf_counter())
                self.first.set()


async def measured(kafka: str, bus: KafkaBus, count: int, chosen: argparse.Namespace) -> tuple[float, float]:
    """Return the verdicts a second of so many processes, and their processor milliseconds for each."""
    name = f"wait{count}"
    most = count * chosen.places / chosen.wait
    await plant(bus, name, int(most * (chosen.seconds + SETTLE) * 1.5))
    seen = Seen()
    following = asyncio.create_task(seen.follow(bus, name), name="verdicts")
    try:
        async with members(kafka, name, count, chosen) as pids:
            async with asyncio.timeout(STOPPED_WITHIN):
                await seen.first.wait()
            await asyncio.sleep(SETTLE)
            before, began = _cpu(pids), time.perf_counter()
            await asyncio.sleep(chosen.seconds)
            ended, used = time.perf_counter(), _cpu(pids) - before
            await asyncio.sleep(0.5)  # a verdict is seen a little after it was given
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    given = sum(began <= at < ended for at in seen.at)
    return given / (ended - began), used * 1000 / max(1, given)


def _cpu(pids: list[int]) -> float:
    return sum(use.cpu for pid in pids for use in usage.tree(pid, "member").values())


async def main(chosen: argparse.Namespace) -> None:
    """Print the table."""
    catalog.cut(PARTITIONS)
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(dir=chosen.data, prefix="bench-scale-") as folder:
        async with running(Path(folder) / "broker") as broker:
            kafka = await broker.start()
            await make_topics(kafka)
            bus = KafkaBus(kafka, "bench-scale")
            await bus.start()
            one = 0.0
            for count in chosen.processes:
                rate, cost = await measured(kafka, bus, count, chosen)
                one = one or rate / count
                bound = count * chosen.places / chosen.wait
                shown = (f"{rate:.1f}", f"{bound:.0f}", f"{rate / bound:.0%}", f"{rate / one:.2f}", f"{cost:.2f}")
                rows.append((str(count), *shown))
                print(f"{count} processes: {rate:.1f} a second", file=sys.stderr)
            await bus.close()
    print(f"{chosen.wait * 1000:.0f} ms of engine a message, {chosen.places} places a process, {PARTITIONS} partitions")
    print(table(("processes", "verdicts/s", "engines allow", "share", "times one", "own CPU ms/verdict"), rows))


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--processes", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2, 4, 8])
    options.add_argument("--wait", type=float, default=0.2, help="seconds of the engine for a message")
    options.add_argument("--places", type=int, default=4, help="messages that the engine of a process has at once")
    options.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    options.add_argument("--data", type=Path, default=None, help="where the broker's folder is made")
    options.add_argument("--member", default="", help=argparse.SUPPRESS)
    options.add_argument("--name", default="", help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.member:
        catalog.cut(PARTITIONS)
        uvloop.run(member(arguments.member, arguments.name, arguments.wait, arguments.places))
    else:
        uvloop.run(main(arguments))
