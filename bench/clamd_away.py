"""A clamd that is stopped under a stream of EICAR and of clean mail: what passes, and how the backlog drains.

    python -m bench.clamd_away [seconds] [messages a second]

Needs a Docker engine; 600 and 1 by default.

A whole `gatepost up` with clamd in a container, the embedded broker and a sink. Every other message carries EICAR, in a
wrapping of its own. Prints what was accepted, what arrived while clamd was away, and when the last one was settled.
Fails when a message with EICAR arrives, a message arrives while clamd is away, or one is not settled in the end.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import time
from pathlib import Path

from testcontainers.core.container import DockerContainer

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
LEAST = 0.5  # seconds in which the last message before the stop is through


def infected() -> list[bytes]:
    """Return the wrappings that are messages with a header, which a subject can be given."""
    return [crlf(raw) for raw in WRAPPINGS.values() if b"Subject: x\n" in raw]


async def stream(house: House, until: float, pause: float, first: int = 0) -> tuple[list[str], list[str]]:
    """Send until then; return the subjects of what was accepted, the clean and the infected."""
    clean: list[str] = []
    bad: list[str] = []
    wrapped = itertools.cycle(infected())
    for number in itertools.count(first):
        if time.monotonic() >= until:
            return clean, bad
        name = f"{'bad' if number % 2 else 'clean'}-{number:05}"
        raw = (
            next(wrapped).replace(b"Subject: x\r\n", f"Subject: {name}\r\n".encode(), 1) if number % 2 else plain(name)
        )
        if (await send(house.port, raw)).code == 250:
            (bad if number % 2 else clean).append(name)
        await asyncio.sleep(pause)
    raise AssertionError("unreachable")


async def held(house: House) -> str:
    """Return the listing of the quarantine."""
    answer = await house.gatepost("quarantine", "list", "--limit", "10000")
    if answer.code:
        raise SystemExit(f"quarantine list failed: {answer.err}")
    return answer.out


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
    await _arrived(sink, set(before[0]), 60)
    await asyncio.to_thread(container.get_wrapped_container().stop, timeout=2)
    await asyncio.sleep(LEAST)
    count = len(sink.arrivals)
    clean, bad = await stream(house, time.monotonic() + seconds, pause, 50_000)
    passed = len(sink.arrivals) - count
    known = await held(house)
    quarantined = sum(name in known for name in bad)
    back = time.monotonic()
    await asyncio.to_thread(container.get_wrapped_container().start)
    drained = await _arrived(sink, {*before[0], *clean}, DRAINED_WITHIN)
    took = time.monotonic() - back
    subjects = [arrival.header("Subject") for arrival in sink.arrivals]
    listing = await held(house)
    unsettled = [name for name in (*before[1], *bad) if name not in listing]
    leaked = [subject for subject in subjects if subject.startswith("bad-")]
    print(f"clamd away for {seconds:.0f} s; accepted meanwhile: {len(clean)} clean, {len(bad)} with EICAR")
    print(f"arrived while it was away: {passed}; quarantined by the built-in rules meanwhile: {quarantined}")
    twice = len(subjects) - len(set(subjects))
    print(f"all clean mail arrived: {drained}, {took:.1f} s after clamd was started again; twice: {twice}")
    print(f"EICAR that arrived: {len(leaked)}; EICAR not in quarantine at the end: {len(unsettled)}")
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
