"""All of Kafka's data is lost with mail in flight: `gatepost recover`, and all of it arrives; the ledger proves it.

GATEPOST_TEST_RECOVER names how many messages; a thousand is what is promised, and takes minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.runtime.ports import free_ports
from tests.house.gatepost import House, gatepost, until
from tests.house.sender import GTUBE, plain, send
from tests.house.sink import Sink

COUNT = int(os.environ.get("GATEPOST_TEST_RECOVER", "60"))
AGAIN = {0, 421, 450, 451}
CONFIG = """
customers:
  - id: example
    domains:
      - {{name: example.test, relay: ["127.0.0.1:{port}"], recipients: [bob]}}
"""


@pytest.fixture
async def house(tmp_path: Path, sink: Sink) -> AsyncIterator[House]:
    config = tmp_path / "gatepost.yaml"
    config.write_text(CONFIG.format(port=sink.port))
    async with House(tmp_path / "data", free_ports(1)[0], "--config", str(config)) as house:
        yield house


def subjects(sink: Sink) -> Counter[str]:
    return Counter(arrival.header("Subject") for arrival in sink.arrivals)


async def accept(house: House, messages: list[bytes]) -> None:
    gate = asyncio.Semaphore(16)

    async def one(message: bytes) -> None:
        async with gate:
            while (reply := await send(house.port, message)).code in AGAIN:  # noqa: ASYNC110  # as a sender does that is put off
                await asyncio.sleep(0.5)  # as a sender does that is put off
            assert reply.code == 250, reply

    await asyncio.gather(*map(one, messages))


async def ledger(house: House, *options: str) -> tuple[int, dict[str, Any]]:
    answer = await gatepost("ledger", "--json", *options, "--data", str(house.data), within=150.0)
    assert answer.out, answer.err
    return answer.code, json.loads(answer.out)


async def traced(house: House, *options: str) -> list[dict[str, Any]]:
    answer = await house.gatepost("trace", "--json", *options)
    assert answer.code == 0, answer.err
    return [json.loads(line) for line in answer.out.splitlines()]


async def test_after_the_loss_of_the_broker_all_arrives_and_the_ledger_balances(house: House, sink: Sink) -> None:
    assert (await send(house.port, plain("arrived"))).code == 250
    assert (await send(house.port, plain("nobody"), ["nobody@example.test"])).code == 550
    await until(lambda: subjects(sink)["arrived"] == 1, 60)
    await sink.down()
    names = [f"in flight {number}" for number in range(COUNT)]
    held = [f"held {number}" for number in range(max(2, COUNT // 50))]
    await accept(house, [plain(name) for name in names])
    await accept(house, [plain(name, f"{GTUBE}\r\nonly {name}\r\n") for name in held])
    # Every one of them waits: deferred, or held.
    deadline = time.monotonic() + 120 + COUNT / 5
    while True:
        code, before = await ledger(house, "--objects")
        waiting = before["customers"]["example"]["in_flight"]
        if waiting.get("held") == len(held) and waiting.get("deferred") == len(names):
            break
        assert time.monotonic() < deadline, before
    assert (code, before["balanced"]) == (0, True), before
    assert before["objects"] == len(names) + len(held)
    assert before["customers"]["example"]["ended"] == {"delivered": 1}

    assert await house.stop() == 0
    await asyncio.to_thread(shutil.rmtree, house.data / "broker" / "kafka")
    await house.up()
    code, after = await ledger(house, "--objects", "--young", "0")
    assert code == 1  # the log knows nothing of what the store has
    assert {each["fault"] for each in after["named"]} <= {"no-event"}
    assert len(after["named"]) == len(names) + len(held)
    await sink.up()
    answer = await house.gatepost("recover")
    assert answer.code == 0, answer.err
    assert answer.out.startswith(f"{len(names)} messages published again, {len(held)} wait")
    await until(lambda: subjects(sink).keys() >= set(names), 120 + COUNT / 5)
    (first,) = await traced(house, "--subject", "held 0")
    assert first["recipients"] == {"bob@example.test": "held"}
    assert (await house.gatepost("quarantine", "release", first["id"])).code == 0
    await until(lambda: subjects(sink)["held 0"] == 1, 60)
    assert subjects(sink) == {"arrived": 1, "held 0": 1, **dict.fromkeys(names, 1)}

    # The trace was never in the broker: it tells of before and after, and of who was refused.
    (message,) = await traced(house, "--subject", names[0], "--limit", "1")
    (told,) = await traced(house, message["id"])
    steps = [step["what"] for step in told["steps"]]
    assert steps[0].startswith("connected from 127.0.0.1")
    assert "published again from the store" in steps
    assert any(step.startswith(("waits for", "attempt 1")) for step in steps)
    assert any(step.startswith("delivered: bob@example.test") for step in steps)
    (refusal,) = await traced(house, "--refused", "--recipient", "nobody@example.test")
    assert refusal["refused"] == "unknown-recipient"
