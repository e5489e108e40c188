"""A Gatepost on Kafka, S3, clamd and rspamd in containers: the neighbours that an operator brings."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from testcontainers.core.container import DockerContainer

from services.runtime.ports import free_ports
from tests.house.gatepost import House, until
from tests.house.sender import EICAR, GTUBE, plain, send, with_attachment
from tests.house.sink import Sink

CONFIG = """
customers:
  - id: example
    domains:
      - {{name: example.test, relay: ["127.0.0.1:{port}"], recipients: any}}
"""


@pytest.fixture
async def house(
    tmp_path: Path,
    sink: Sink,
    kafka: str,
    s3: dict[str, str],
    clamd: tuple[DockerContainer, str],
    rspamd: str,
) -> AsyncIterator[House]:
    """Gatepost, up, on all of them."""
    config = tmp_path / "gatepost.yaml"
    config.write_text(CONFIG.format(port=sink.port))
    environ = {**s3, "GATEPOST_CLAMD": clamd[1], "GATEPOST_RSPAMD": rspamd}
    arguments = ["--config", str(config), "--kafka", kafka, "--store", "s3://gatepost-test"]
    async with House(tmp_path / "data", free_ports(1)[0], *arguments, environ=environ) as house:
        yield house


async def listing(house: House, *names: str) -> str:
    """Return what is held once all of these subjects are."""
    deadline = time.monotonic() + 40
    while True:
        text = (await house.gatepost("quarantine", "list")).out
        if all(name in text for name in names):
            return text
        assert time.monotonic() < deadline, text


async def test_the_engines_that_an_operator_runs_decide(house: House, sink: Sink) -> None:
    assert (await send(house.port, plain("to the customer"))).code == 250
    await until(lambda: [a.header("Subject") for a in sink.arrivals] == ["to the customer"], 30)
    assert (await send(house.port, with_attachment("c-eicar", "x.exe", EICAR))).code == 250
    assert (await send(house.port, plain("r-gtube", f"{GTUBE}\r\n"))).code == 250
    held = await listing(house, "c-eicar", "r-gtube")
    ids = {name: re.search(rf"^(\S+) .*{name}", held, re.MULTILINE) for name in ("c-eicar", "r-gtube")}
    assert ids["c-eicar"] is not None
    assert ids["r-gtube"] is not None
    shown = (await house.gatepost("quarantine", "show", ids["c-eicar"][1])).out
    assert "eicar" in shown.lower()
    assert "clamav" in shown.lower() or "clamd" in shown.lower()
    assert "GTUBE" in (await house.gatepost("quarantine", "show", ids["r-gtube"][1])).out
    assert (await house.gatepost("quarantine", "release", ids["r-gtube"][1])).code == 0
    await until(lambda: len(sink.arrivals) == 2, 30)
    assert sink.arrivals[1].header("Subject") == "r-gtube"


async def test_nothing_passes_while_clamd_is_away_and_the_backlog_drains_by_itself(
    house: House, sink: Sink, clamd: tuple[DockerContainer, str]
) -> None:
    container = clamd[0].get_wrapped_container()
    await asyncio.to_thread(container.stop, timeout=2)
    names = [f"patient-{number}" for number in range(10)]
    for name in names:
        assert (await send(house.port, plain(name))).code == 250
        assert (await send(house.port, with_attachment(f"away-eicar-{name}", "x.exe", EICAR))).code == 250
    await asyncio.sleep(8)  # long enough for what would pass to have passed
    assert sink.arrivals == []
    await asyncio.to_thread(container.start)
    await until(lambda: {a.header("Subject") for a in sink.arrivals} == set(names), 120)
    await listing(house, *(f"away-eicar-{name}" for name in names))
    assert len(sink.arrivals) == len(names)
