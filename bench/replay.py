"""Replay of a long history against a changed rule: python -m bench.replay [--messages N]

Plants a history in a broker of its own: received, three verdicts and a disposition a message, decided by the rules as
they were. Some messages carry the evidence that a new rule looks for. Then `gatepost replay` runs as a user starts it,
and three things are checked: how long it took, that it names exactly the planted ones, and that no topic has grown.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from schemas.catalog import TOPICS
from schemas.events import (
    Customer,
    Disposition,
    Domain,
    Envelope,
    Event,
    Evidence,
    Host,
    Pending,
    Received,
    Status,
    Verdict,
)
from services.core.ids import message_id
from services.policy.decide import decide, merge, with_received
from services.runtime import groups
from services.runtime.broker import running
from services.runtime.kafka import KafkaBus
from services.runtime.provision import make_topics

PLAN = ("auth", "content", "virus")
EVENTS = len(PLAN) + 2  # of a message
CUSTOMER = Customer(id="bench", domains=(Domain(name="example.test", relay=(Host(host="127.0.0.1"),)),))
POLICY = """\
customers:
  - id: bench
    domains:
      - {name: example.test, relay: ["127.0.0.1:25"], recipients: any}
    policy:
      rules:
        - {name: no-bills, when: {evidence: BILL}, then: quarantine}
"""
SHARE = 0.01  # of the messages that the new rule is about
BATCH = 2_000  # events published together


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What a replay showed."""

    messages: int
    events: int
    planted: frozenset[str]
    found: frozenset[str]
    otherwise_ends: tuple[str, ...]  # topics whose end is another after it
    seconds: float
    incomplete: int

    @property
    def right(self) -> bool:
        """Whether it told exactly the planted ones, of all messages, and left no trace."""
        return self.planted == self.found and not self.otherwise_ends and not self.incomplete


def history(number: int, now: float, chance: random.Random) -> tuple[list[Event], bool]:
    """Return the events of one message, and whether the new rule is about it."""
    at = now - 3_000 + number * 0.01
    one = message_id(at, os.urandom)
    sender = f"sender{number % 500}@elsewhere.test"
    received = Received(
        id=one,
        customer="bench",
        domain="example.test",
        key=f"mail/bench/{one[-2:]}/{one}",
        envelope=Envelope(reverse_path=sender, recipients=("bob@example.test",), client_ip="192.0.2.1"),
        size=5_000,
        received_at=at,
        server="mx.gatepost.test",
        plan=PLAN,
    )
    planted = chance.random() < SHARE
    pending: Pending = with_received(None, received, number)
    events: list[Event] = [received]
    for scanner in PLAN:
        evidence = [Evidence(code=f"RULE_{n}", text="one of many reasons", score=0.3) for n in range(3)]
        if planted and scanner == "content":
            evidence.append(Evidence(code="BILL", text="looks like a bill", score=0.1))
        verdict = Verdict(
            id=one,
            customer="bench",
            scanner=scanner,
            version="1",
            status=Status.CLEAN,
            score=0.3,
            evidence=tuple(evidence),
            scanned_at=at,
            origin=number,
        )
        events.append(verdict)
        pending = merge(pending, verdict)
    disposition = decide(pending, CUSTOMER, at + 0.1)
    assert isinstance(disposition, Disposition)  # noqa: S101 - all scanners have answered
    return [*events, disposition], planted


async def plant(kafka: str, messages: int, seed: int = 1) -> frozenset[str]:
    """Publish a history and return the ids that the new rule is about."""
    chance, planted, now = random.Random(seed), set(), time.time()  # noqa: S311 - chance that repeats
    bus = KafkaBus(kafka, "bench-replay")
    batch: list[Event] = [CUSTOMER]
    try:
        for number in range(messages):
            events, about = history(number, now, chance)
            batch += events
            if about and isinstance(events[0], Received):
                planted.add(events[0].id)
            if len(batch) >= BATCH:
                await bus.publish(batch, within=60.0)
                batch = []
        await bus.publish(batch, within=60.0)
    finally:
        await bus.close()
    return frozenset(planted)


async def replay(kafka: str, folder: Path, messages: int) -> Result:
    """Plant, replay in a process of its own, and compare."""
    await make_topics(kafka)
    planted = await plant(kafka, messages)
    policy = folder / "changed.yaml"
    policy.write_text(POLICY)
    before = await groups.offsets(kafka, TOPICS)
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "replay", "--from", "2h", "--policy", str(policy), "--json"),
        env={
            **os.environ,
            "GATEPOST_KAFKA": kafka,
            "GATEPOST_STORE": str(folder / "objects"),
            "GATEPOST_DATABASE": "sqlite:///:memory:",
        },
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    seconds = time.monotonic() - began
    *differences, last = [msgspec.json.decode(line) for line in out.splitlines()]
    after = await groups.offsets(kafka, TOPICS)
    return Result(
        messages=last["summary"]["messages"],
        events=messages * EVENTS,
        planted=planted,
        found=frozenset(difference["id"] for difference in differences),
        otherwise_ends=tuple(sorted(_grown(before, after))),
        seconds=seconds,
        incomplete=last["summary"]["incomplete"],
    )


def _grown(before: list[groups.Offsets], after: list[groups.Offsets]) -> Iterator[str]:
    for then, now in zip(before, after, strict=True):
        if then != now:  # its end, and every group's position
            yield f"{now.topic}/{now.partition}"


async def main() -> int:
    """Run, print, and return the exit code: 1 when anything is not as it was planted."""
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatepost-replay-") as name:
        async with running(Path(name) / "broker") as broker:
            result = await replay(await broker.start(), Path(name), options.messages)
    print(f"| what | figure |\n|---|---:|\n| events | {result.events} |\n| messages replayed | {result.messages} |")
    print(f"| seconds, the start of the command included | {result.seconds:.1f} |")
    print(f"| changes planted | {len(result.planted)} |")
    print(f"| told | {len(result.found)}, the same: {'yes' if result.planted == result.found else 'NO'} |")
    print(f"| topics that have grown | {', '.join(result.otherwise_ends) or 'none'} |")
    return 0 if result.right else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
