"""What an acknowledgement costs when the broker syncs every message: python -m bench.flush [--seconds 5] [--folder DIR]

Two topics on one embedded broker, one as it is and one with flush.messages=1; records of 700 octets, acks=all. The
figures are of this machine's disk: a folder in memory (tmpfs) makes the sync free and the comparison worthless.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.runtime.broker import running

TOPICS = {"page cache": {}, "flush each": {"flush.messages": "1"}}
RECORD = bytes(range(256)) * 3
OCTETS = 700
PARTITIONS = 6


async def one_sender(producer: AIOKafkaProducer, topic: str, until: float, took: list[float]) -> None:
    """Send one record after the other until the time is over; note the seconds that each acknowledgement took."""
    while time.perf_counter() < until:
        started = time.perf_counter()
        await producer.send_and_wait(topic, RECORD[:OCTETS])
        took.append(time.perf_counter() - started)


async def measure(address: str, topic: str, senders: int, seconds: float) -> tuple[list[float], float]:
    """Return the latencies of all acknowledgements in seconds, and how many there were a second."""
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for _ in range(100):  # connections, metadata and Java's compiler are warm after this
            await producer.send_and_wait(topic, RECORD[:OCTETS])
        took: list[float] = []
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(senders):
                group.create_task(one_sender(producer, topic, started + seconds, took))
        return took, len(took) / (time.perf_counter() - started)
    finally:
        await producer.stop()


async def disk(folder: Path) -> float:
    """Return the median seconds of a write and its fdatasync in the folder: the floor for a broker that flushes."""

    def probe() -> float:
        took = []
        with (folder / "probe").open("wb", buffering=0) as file:
            for _ in range(200):
                started = time.perf_counter()
                file.write(RECORD[:OCTETS])
                os.fdatasync(file.fileno())
                took.append(time.perf_counter() - started)
        return statistics.median(took)

    return await asyncio.to_thread(probe)


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=5.0, help="of each of the four measurements")
    options.add_argument("--folder", type=Path, default=Path.cwd(), help="where the broker's data lies meanwhile")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="bench-") as name:
        print(f"write + fdatasync alone: {await disk(Path(name)) * 1000:.2f} ms (median)")
        async with running(Path(name) / "data") as broker:
            address = await broker.start()
            admin = AIOKafkaAdminClient(bootstrap_servers=address)
            await admin.start()
            try:
                await admin.create_topics(
                    [
                        NewTopic(topic.replace(" ", "."), PARTITIONS, 1, topic_configs=config)
                        for topic, config in TOPICS.items()
                    ]
                )
            finally:
                await admin.close()
            print(f"{'topic':<12} {'senders':>7} {'p50 ms':>8} {'p99 ms':>8} {'acked/s':>9}")
            for senders in (1, 32):
                for topic in TOPICS:
                    took, rate = await measure(address, topic.replace(" ", "."), senders, chosen.seconds)
                    p50, p99 = statistics.median(took) * 1000, statistics.quantiles(took, n=100)[98] * 1000
                    print(f"{topic:<12} {senders:>7} {p50:>8.2f} {p99:>8.2f} {rate:>9.0f}")


if __name__ == "__main__":
    asyncio.run(main())
