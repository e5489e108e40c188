"""How many events a second the trace writes: python -m bench.trace_writing [DATABASE-URL] [--messages N]

Plants messages with their events (one received, a verdict of each of seven scanners, a disposition, an outcome) in a
broker of its own, and starts `gatepost run trace`, as on a cluster, on the database: one that `bench.trace` has filled
shows what the indexes cost. What is timed is from the first committed offset to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench.replay import BATCH, CUSTOMER
from schemas.events import Disposition, Envelope, Event, Evidence, Outcome, Received, State, Status, Verdict
from services.core.ids import message_id
from services.policy.decide import decide, merge, with_received
from services.runtime import groups
from services.runtime.broker import running
from services.runtime.kafka import KafkaBus
from services.runtime.provision import make_topics
from services.trace.app import TOPICS
from services.trace.index import Index

PLAN = ("attachments", "auth", "content", "impersonation", "outbreak", "urls", "virus")
EVENTS = len(PLAN) + 3  # of a message
WITHIN = 600.0
LOOK = 0.25  # seconds between looks at the group


def history(number: int, now: float, chance: random.Random) -> list[Event]:
    """Return the events of one message from received to delivered."""
    at = now - chance.random() * 60
    one = message_id(at, os.urandom)
    domain = f"sender{int(20_000 * chance.random() ** 3)}.test"
    received = Received(
        id=one,
        customer=CUSTOMER.id,
        domain="example.test",
        key=f"mail/bench/{one[-2:]}/{one}",
        envelope=Envelope(
            reverse_path=f"user{number % 30}@{domain}",
            recipients=(f"user{int(400 * chance.random() ** 3)}@example.test",),
            client_ip=f"192.0.2.{number % 256}",
            helo=f"mx.{domain}",
        ),
        size=5_000,
        received_at=at,
        server="mx.gatepost.test",
        plan=PLAN,
        subject=f"order {chance.randrange(10**6)} of this week",
        message_id=f"{one}@{domain}",
    )
    pending = with_received(None, received, number)
    events: list[Event] = [received]
    for scanner in PLAN:
        evidence = tuple(Evidence(code=f"RULE_{n}", text="one of many reasons", score=0.3) for n in range(2))
        verdict = Verdict(
            id=one,
            customer=CUSTOMER.id,
            scanner=scanner,
            version="1",
            status=Status.CLEAN,
            score=0.3,
            evidence=evidence,
            engine=f"gatepost-{scanner} 1",
            elapsed_ms=5.0,
            scanned_at=at + 0.1,
            origin=number,
        )
        events.append(verdict)
        pending = merge(pending, verdict)
    disposition = decide(pending, CUSTOMER, at + 0.2)
    assert isinstance(disposition, Disposition)  # noqa: S101 - all scanners have answered
    outcome = Outcome(
        id=one,
        customer=CUSTOMER.id,
        key=received.key,
        recipients=received.envelope.recipients,
        total=1,
        state=State.DELIVERED,
        at=at + 0.3,
        received_at=at,
        host="mta.example.test:25",
        reply="250 2.0.0 OK",
        attempts=1,
    )
    return [*events, disposition, outcome]


async def plant(kafka: str, messages: int) -> None:
    """Publish them."""
    chance, now = random.Random(5), time.time()  # noqa: S311 - chance that repeats
    bus = KafkaBus(kafka, "bench-trace")
    try:
        for first in range(0, messages, BATCH // EVENTS):
            numbers = range(first, min(first + BATCH // EVENTS, messages))
            await bus.publish([event for n in numbers for event in history(n, now, chance)], within=60.0)
    finally:
        await bus.close()


async def committed(kafka: str) -> int:
    """Return how many events the group has committed."""
    slots = await groups.offsets(kafka, TOPICS)
    return sum(dict(slot.groups).get("trace", 0) for slot in slots)


async def follow(kafka: str, url: str, events: int) -> tuple[float, int]:
    """Run the service until it has committed all of them; return the seconds, and how many of them that counts."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "run", "trace"),
        env={**os.environ, "GATEPOST_KAFKA": kafka, "GATEPOST_DATABASE": url, "GATEPOST_LOG_LEVEL": "WARNING"},
    )
    try:
        async with asyncio.timeout(WITHIN):
            while not (before := await committed(kafka)):  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(LOOK)
            began = time.monotonic()
            while await committed(kafka) < events:  # noqa: ASYNC110 - as above
                await asyncio.sleep(LOOK)
        return time.monotonic() - began, events - before
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def main() -> int:
    """Plant, follow, print; return the exit code: 1 when rows are missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.trace_writing", description=__doc__)
    parser.add_argument("url", nargs="?", default="")
    parser.add_argument("--messages", type=int, default=10_000)
    options = parser.parse_args()
    events = options.messages * EVENTS
    with tempfile.TemporaryDirectory(prefix="gatepost-trace-") as name:
        url = options.url or f"sqlite:///{Path(name) / 'gatepost.db'}"
        index = await Index.open(url)
        try:
            before = await index.size()
            async with running(Path(name) / "broker") as broker:
                kafka = await broker.start()
                await make_topics(kafka)
                await plant(kafka, options.messages)
                seconds, counted = await follow(kafka, url, events)
            written = await index.size() - before
        finally:
            await index.close()
    load = f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{url.partition(':')[0]} with {before} events before; load of the machine (1 min): {load}\n")
    print(f"| what | figure |\n|---|---:|\n| messages | {options.messages} |\n| events written | {written} |")
    print(f"| events a second | {counted / seconds:.0f} |\n| messages a second | {counted / seconds / EVENTS:.0f} |")
    return 0 if written == events else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
