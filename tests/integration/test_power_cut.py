"""A power cut takes what the broker had only in the page cache. The store is synced, so no accepted mail is lost.

What a power cut does to the store's files themselves is in test_folder_power_loss.py; here the broker's log loses its
tail, or all of it, and Gatepost is started again.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.runtime.ports import free_ports
from tests.house.gatepost import House, until
from tests.house.sender import EICAR, plain, send, with_attachment
from tests.house.sink import Sink

CONFIG = """
customers:
  - id: example
    domains:
      - {{name: example.test, relay: ["127.0.0.1:{port}"], recipients: [bob]}}
"""


@pytest.fixture
async def house(tmp_path: Path, sink: Sink) -> AsyncIterator[House]:
    """Gatepost with its embedded broker and folder store."""
    config = tmp_path / "gatepost.yaml"
    config.write_text(CONFIG.format(port=sink.port))
    async with House(tmp_path / "data", free_ports(1)[0], "--config", str(config)) as house:
        yield house


def subjects(sink: Sink) -> Counter[str]:
    return Counter(arrival.header("Subject") for arrival in sink.arrivals)


async def accepted(house: House, names: list[str]) -> None:
    for start in range(0, len(names), 20):  # fewer at a time than one address may have connections
        replies = await asyncio.gather(*(send(house.port, plain(name)) for name in names[start : start + 20]))
        assert {reply.code for reply in replies} == {250}


@pytest.mark.parametrize("lost", ["tail", "everything"])
async def test_accepted_mail_survives_the_loss_of_the_log(house: House, sink: Sink, lost: str) -> None:
    log = house.data / "broker" / "kafka"
    await accepted(house, ["before"])
    await until(lambda: subjects(sink)["before"] == 1, 30)
    assert (await send(house.port, with_attachment("held", "x.exe", EICAR))).code == 250
    await until(lambda: any("event=held" in line for line in house.log), 30)
    await sink.down()
    assert await house.stop() == 0
    await asyncio.to_thread(shutil.copytree, log, house.data / "snapshot")
    await house.up()
    names = [f"accepted {number}" for number in range(100)]
    await accepted(house, names)
    await house.kill()

    await asyncio.to_thread(shutil.rmtree, log)
    if lost == "tail":  # the log as it was before the 100 messages: their events, and all that followed, are gone
        await asyncio.to_thread(shutil.move, house.data / "snapshot", log)
    await sink.up()
    await house.up()
    assert any("event=recovered" in line for line in house.log)
    await until(lambda: subjects(sink).keys() >= set(names), 90)
    await asyncio.sleep(2)
    assert subjects(sink) == {"before": 1, **dict.fromkeys(names, 1)}  # each once, and what was held stays held
    listing = (await house.gatepost("quarantine", "list")).out
    assert listing.count("held") >= 1
    lying = [house.data / "objects" / prefix for prefix in ("mail", "quarantine")]  # what is held is sealed by and by
    await until(lambda: sum(path.is_file() for folder in lying for path in folder.rglob("*")) == 1, 30)
