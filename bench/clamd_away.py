"""A clamd that is stopped under a stream of EICAR and of clean mail: what passes, and how the backlog drains.

    python -m bench.clamd_away [seconds] [messages a second]

Needs a Docker engine; 600 and 1 by default.

A whole `gatepost up` with clamd in a container, the embedded broker and a sink. Every other message carries EICAR, in a
wrapping of its own. Prints what was accepted, what arrived while clamd was away, and when the last one was settled.
Fails when a message with EICAR arrives, a message arrives while clamd is away, or one is not settled in the end.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from testcontainers.core.container import DockerContainer

from bench.report import table
from services.runtime.ports import free_ports
from tests.corpora.wrappings import WRAPPINGS
from tests.house.gatepost import House
from tests.house.sender import plain, send
from tests.house.sink import Sink
from tests.mails import crlf

CLAMAV = "clamav/clamav:1.4"
CONFIG = """
customers:
  - id: example
    domains:
      - {{name: example.test, relay: ["127.0.0.1:{port}"], recipients: any}}
"""
DRAINED_WITHIN = 900.0  # seconds: the longest pause between two questions of policy is 300
LISTED_WITHIN = 30.0  # seconds: the index follows the topic
TRACED = 5  # messages, of those that are missing
TRACED_LINES = 60
LEAST = 0.5  # seconds in which the last message before the stop is through


def infected() -> list[bytes]:
    """Return the wrappings that are messages with a header, which a subject can be given."""
    return [crlf(raw) for raw in WRAPPINGS.values() if b"Subject: x\n" in raw]


@dataclasses.dataclass(slots=True)
class Stream:
    """What was accepted: the id of each message by its subject."""

    clean: dict[str, str] = dataclasses.field(default_factory=dict)
    bad: dict[str, str] = dataclasses.field(default_factory=dict)


async def stream(house: House, until: float, pause: float, first: int = 0) -> Stream:
    """Send until then; return what was accepted."""
    accepted = Stream()
    wrapped = itertools.cycle(infected())
    for number in itertools.count(first):
        if time.monotonic() >= until:
            break
        name = f"{'bad' if number % 2 else 'clean'}-{number:05}"
        raw = (
            next(wrapped).replace(b"Subject: x\r\n", f"Subject: {name}\r\n".encode(), 1) if number % 2 else plain(name)
        )
        reply = await send(house.port, raw)
        if reply.code == 250:
            (accepted.bad if number % 2 else accepted.clean)[name] = reply.text.rpartition("id=")[2].split()[0]
        await asyncio.sleep(pause)
    return accepted


async def held(house: House) -> set[str]:
    """Return the ids of what the quarantine lists."""
    answer = await house.gatepost("quarantine", "list", "--limit", "10000")
    if answer.code:
        raise SystemExit(f"quarantine list failed: {answer.err}")
    return {line.split()[0] for line in answer.out.splitlines() if line}


async def missing(house: House, bad: Mapping[str, str], within: float) -> dict[str, str]:
    """Return what the quarantine doesn't list in the end; it lists what is on its way a moment later."""
    deadline = time.monotonic() + within
    while True:
        known = await held(house)
        left = {name: one for name, one in bad.items() if one not in known}
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(1)


async def main(seconds: float, rate: float) -> int:
    """Run it; return the exit code."""
    (port,) = free_ports(1)
    sink = Sink(free_ports(1)[0])
    with tempfile.TemporaryDirectory() as name, DockerContainer(CLAMAV).with_bind_ports(3310, port) as container:
        folder = Path(name)
        config = folder / "gatepost.yaml"
        config.write_text(CONFIG.format(port=sink.port))
        environ = {"GATEPOST_CLAMD": f"127.0.0.1:{port}"}
        arguments = ("--config", str(config))
        async with sink, House(folder / "data", free_ports(1)[0], *arguments, environ=environ) as house:
            return await _away(house, sink, container, seconds, 1 / rate)


async def _away(house: House, sink: Sink, container: DockerContainer, seconds: float, pause: float) -> int:
    before = await stream(house, time.monotonic() + 10, pause)
    await _arrived(sink, set(before.clean), 60)
    await asyncio.to_thread(container.get_wrapped_container().stop, timeout=2)
    await asyncio.sleep(LEAST)
    count = len(sink.arrivals)
    during = await stream(house, time.monotonic() + seconds, pause, 50_000)
    late = await missing(house, during.bad, LISTED_WITHIN)
    passed = len(sink.arrivals) - count
    back = time.monotonic()
    await asyncio.to_thread(container.get_wrapped_container().start)
    drained = await _arrived(sink, {*before.clean, *during.clean}, DRAINED_WITHIN)
    took = time.monotonic() - back
    unsettled = await missing(house, before.bad | during.bad, LISTED_WITHIN)
    subjects = [arrival.header("Subject") for arrival in sink.arrivals]
    leaked = [subject for subject in subjects if subject.startswith("bad-")]
    rows = [
        ("accepted meanwhile, clean", str(len(during.clean))),
        ("accepted meanwhile, with EICAR", str(len(during.bad))),
        ("arrived meanwhile", str(passed)),
        ("EICAR in quarantine by the built-in rules, before clamd was back", str(len(during.bad) - len(late))),
        ("EICAR that arrived", str(len(leaked))),
        ("EICAR not in quarantine at the end", str(len(unsettled))),
        ("all clean mail arrived", f"{took:.0f} s after clamd was started" if drained else "no"),
        ("arrived twice", str(len(subjects) - len(set(subjects)))),
    ]
    print(table((f"clamd away for {seconds:.0f} s", "messages"), rows))
    absent = {name: one for name, one in (before.clean | during.clean).items() if name not in subjects}
    for name, one in list({**late, **unsettled, **absent}.items())[:TRACED]:
        print(f"\n{name} is missing:\n{(await house.gatepost('trace', one)).out}")
    if absent:
        print("\n".join((f"{len(absent)} clean messages are missing; the log's end:", *house.log[-TRACED_LINES:])))
    return 1 if passed or leaked or unsettled or not drained else 0


async def _arrived(sink: Sink, names: set[str], within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if names <= {arrival.header("Subject") for arrival in sink.arrivals}:
            return True
        await asyncio.sleep(0.2)
    return False


if __name__ == "__main__":
    given = [float(text) for text in sys.argv[1:]]
    sys.exit(asyncio.run(main(*(given + [600.0, 1.0][len(given) :]))))
