"""How long a released message takes to the customer's MTA: from the API's answer to the final dot's 250.

    python -m bench.release [COUNT]     everything on this machine, built-in engines

Prints p50, p95 and the worst, in seconds.
"""

from __future__ import annotations

import asyncio
import re
import smtplib
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from bench.house import COMMAND, DOMAIN, House
from bench.ledger import percentile
from bench.sink import Sink

COUNT = 40
WITHIN = 120.0  # seconds for each step
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
CONFIG = """\
customers:
  - id: bench
    domains:
      - {{name: {domain}, relay: ["127.0.0.1:{port}"], recipients: any}}
"""
SUBJECT = re.compile(rb"^Subject: held (\d+)\r\n", re.MULTILINE)


def hand_in(port: int, count: int) -> None:
    """Send spam."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        for number in range(count):
            text = f"Subject: held {number}\r\nFrom: a@sender.test\r\n\r\n{GTUBE}\r\n"
            client.sendmail("a@sender.test", [f"user{number}@{DOMAIN}"], text)


async def token(folder: Path) -> str:
    """Return an administrator's token."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("tokens", "create", "--role", "administrator", "--customer", "bench", "--data", str(folder / "data")),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return out.decode().strip()


async def measure(count: int) -> list[float]:
    """Hold, release one after the other, and return the seconds that each took."""
    arrived: dict[int, float] = {}

    def note(at: float, wire: bytes) -> None:
        found = SUBJECT.search(wire)
        if found:
            arrived[int(found[1])] = at

    took: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with Sink() as sink, House(folder, sink.port, "127.0.0.1:9", config=CONFIG) as house:
            sink.note = note
            headers = {"Authorization": f"Bearer {await token(folder)}"}
            await asyncio.to_thread(hand_in, house.port, count)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{house.api_port}", headers=headers) as session:
                path = "/v1/customers/bench/messages"
                async with asyncio.timeout(WITHIN):
                    while len(held := await listed(session, path)) < count:  # noqa: ASYNC110 - it is another process
                        await asyncio.sleep(0.1)
                for message in held:
                    number = int(message["subject"].split()[1])
                    begun = time.perf_counter()
                    async with session.post(f"{path}/{message['id']}/release", json={}) as answer:
                        answer.raise_for_status()
                    async with asyncio.timeout(WITHIN):
                        while number not in arrived:  # noqa: ASYNC110 - the sink notes it between two looks
                            await asyncio.sleep(0.002)
                    took.append(arrived[number] - begun)
    return sorted(took)


async def listed(session: aiohttp.ClientSession, path: str) -> list[dict[str, str]]:
    """Return what is held."""
    async with session.get(path, params={"limit": "200"}) as answer:
        found: list[dict[str, str]] = (await answer.json())["messages"]
        return found


def main(arguments: list[str]) -> None:
    """Run it."""
    took = asyncio.run(measure(int(arguments[0]) if arguments else COUNT))
    print(
        f"{len(took)} releases: p50 {percentile(took, 0.5):.3f} s, p95 {percentile(took, 0.95):.3f} s, "
        f"worst {took[-1]:.3f} s"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
