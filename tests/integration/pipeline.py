"""What the tests of the whole path share."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from services.runtime.ports import free_ports
from tests.house.gatepost import House
from tests.house.sender import Reply, send
from tests.house.sink import Sink
from tests.integration.backing import arguments, environ

CONFIG = """
customers:
  - id: example
    domains:
      - name: example.test
        relay: ["127.0.0.1:{port}"]
        recipients: any
      - name: strict.test
        relay: ["127.0.0.1:{port}"]
        recipients: [ann, bob]
  - id: everything
    domains:
      - name: everything.test
        relay: ["127.0.0.1:{port}"]
        recipients: any
    policy:
      rules:
        - {{name: no programs, when: {{senders: ["@files.test"]}}, strip: [.exe]}}
        - {{name: all, then: deliver}}
"""


def house_in(folder: Path, relay: int) -> House:
    """Return Gatepost, not up yet, in a new folder, relaying to the port."""
    folder.mkdir(exist_ok=True)
    config = folder / "gatepost.yaml"
    config.write_text(CONFIG.format(port=relay))
    more = arguments(folder.name)
    return House(folder / "data", free_ports(1)[0], "--config", str(config), *more, environ=environ())


async def many(
    house: House, messages: list[bytes], connections: int, recipient: str = "bob@example.test"
) -> list[Reply]:
    """Send the messages over so many connections at a time."""
    gate = asyncio.Semaphore(connections)

    async def one(message: bytes) -> Reply:
        async with gate:
            return await send(house.port, message, [recipient])

    return await asyncio.gather(*(one(message) for message in messages))


def subjects(sink: Sink) -> Counter[str]:
    return Counter(arrival.header("Subject") for arrival in sink.arrivals)
