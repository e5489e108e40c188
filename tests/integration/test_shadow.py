"""A shadow in the life of a whole Gatepost: it decides nothing, it delays nothing, and once promoted it lasts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.runtime.ports import free_ports
from tests.house.gatepost import House, until
from tests.house.sender import plain, send
from tests.house.sink import Sink

CONFIG = """
customers:
  - id: acme
    domains:
      - {{name: example.test, relay: ["127.0.0.1:{port}"], recipients: any}}
    limits: {{retention_hours: 1}}  # so that the shadow sees all, however slow the machine
"""
RULE = """
rule Minutes { meta: status = "virus" strings: $a = "minutes of Monday" condition: $a }
"""
NAME = "virus-new-rules"


async def test_a_shadow_looks_on_dies_stands_still_and_is_promoted(sink: Sink, tmp_path: Path) -> None:
    data, rules = tmp_path / "data", tmp_path / "new-rules"
    config = tmp_path / "gatepost.yaml"
    config.write_text(CONFIG.format(port=sink.port))
    for folder in (data, rules):
        folder.mkdir()
    (rules / "new.yar").write_text(RULE)
    settings = data / "settings.env"
    settings.write_text(f"# a trial\nGATEPOST_SHADOW=virus@{rules}\n")
    port = free_ports(1)[0]
    async with House(data, port, "--config", str(config)) as house:
        await until(lambda: any(f"consumer=shadow-{NAME} event=assigned" in line for line in house.log), 30)

        await deliver(house, sink, 3)
        found = await compared(house, 3)
        assert found["kinds"] == [{"live": "clean", "shadow": "virus", "messages": 3}]
        assert found["otherwise"] == [{"live": "deliver", "shadow": "quarantine", "messages": 3}]
        assert found["settings"] == {"GATEPOST_YARA_DIR": str(rules)}
        # What it said is in no verdict, not even as a second one.
        said = await tail(house, "mail.verdicts.v1")
        assert [event["status"] for event in said if event["scanner"] == "virus"] == ["clean"] * 3

        # It stands still: mail goes on, and its group is behind by just these.
        stopped = of_shadow(house)
        os.kill(stopped, signal.SIGSTOP)
        await deliver(house, sink, 4)
        assert await lag(house) == 4
        # It dies: mail goes on; it is started again, and catches up with what customers let it see.
        os.kill(stopped, signal.SIGKILL)
        await deliver(house, sink, 2)
        after = await compared(house, 9)
        assert (after["received"], after["seen"], after["gone"]) == (9, 9, 0)

        promoted = await house.gatepost("shadow", "promote", NAME, "--least", "9")
        assert promoted.code == 0, promoted.err
        assert settings.read_text() == f"# a trial\nGATEPOST_SHADOW=virus@{rules}\nGATEPOST_YARA_DIR={rules}\n"

    # A trial that can't even start keeps nobody from starting; what was promoted is what scans now.
    wrong: Mapping[str, str] = {"GATEPOST_SHADOW": "virus@/nowhere/at/all"}
    async with House(data, port, "--config", str(config), environ=wrong) as house:
        assert (await send(port, plain("after"))).code == 250
        await until(lambda: any("event=decided status=virus" in line for line in house.log), 30)
        await until(lambda: any("process=shadow event=start-failed" in line for line in house.log), 30)
        assert any("setting=GATEPOST_SHADOW event=environment-wins" in line for line in house.log)
    assert len(sink.arrivals) == 9


async def deliver(house: House, sink: Sink, count: int) -> None:
    """Send so many and wait until the customer's MTA has them."""
    before = len(sink.arrivals)
    for number in range(count):
        assert (await send(house.port, plain(f"m{before + number}"))).code == 250
    await until(lambda: len(sink.arrivals) == before + count, 30)


async def compared(house: House, count: int) -> dict[str, Any]:
    """Return the report once it covers so many messages; the log says when it is worth asking."""
    await until(lambda: sum(f"shadow={NAME} status=virus" in line for line in house.log) >= count, 60)
    async with asyncio.timeout(30):
        while True:
            answer = await house.gatepost("shadow", "report", "--json")
            assert answer.code == 0, answer.err
            (found,) = [json.loads(line) for line in answer.out.splitlines()]
            if found["compared"] == count:
                return dict(found)


async def tail(house: House, topic: str) -> list[dict[str, Any]]:
    answer = await house.gatepost("topics", "tail", topic, "--limit", "1000", "--json")
    return [json.loads(line)["event"] for line in answer.out.splitlines()]


async def lag(house: House) -> int:
    lines = (await house.gatepost("topics")).out.splitlines()
    (line,) = [line for line in lines if f"shadow-{NAME}" in line]
    assert line.split()[0] == "mail.received.v1"
    return int(line.split()[-1])


def of_shadow(house: House) -> int:
    """Return the process that runs it, not the leash that holds it."""
    runs = [pid for pid, line in house.members().items() if "run shadow" in line and "leash" not in line]
    (pid,) = runs
    return pid
