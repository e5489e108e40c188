"""The whole path while its parts are killed or hang: each test has a house of its own.

The same tests run on the embedded broker and folder, and on a cluster and S3: see test_pipeline.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.house.gatepost import House, until
from tests.house.sender import plain, send
from tests.house.sink import Sink
from tests.integration.backing import brokers, start_brokers_again
from tests.integration.pipeline import house_in, many, subjects


@pytest.fixture
async def house(tmp_path: Path, sink: Sink) -> AsyncIterator[House]:
    """Gatepost, up, relaying to the sink."""
    async with house_in(tmp_path, sink.port) as house:
        yield house


@pytest.mark.parametrize("group", [True, False], ids=["everything", "supervisor"])
async def test_every_message_that_got_its_250_arrives_after_sigkill(house: House, sink: Sink, group: bool) -> None:
    names = [f"under way {number}" for number in range(500)]
    sending = asyncio.create_task(many(house, [plain(name) for name in names], 32))
    await until(lambda: len(sink.arrivals) >= 100, 60)
    await house.kill(group=group)
    replies = await sending
    accepted = {name for name, reply in zip(names, replies, strict=True) if reply.code == 250}
    assert len(accepted) >= 100
    await house.up()
    await until(lambda: accepted <= subjects(sink).keys(), 90)
    await asyncio.sleep(1)
    twice = sum(count > 1 for count in subjects(sink).values())
    assert twice <= 250  # at most what delivery had in flight when the broker died under it


async def test_a_broker_that_hangs_means_451_within_10_seconds_and_then_mail_flows_again(
    house: House, sink: Sink
) -> None:
    assert (await send(house.port, plain("before"))).code == 250
    pids = brokers(house)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        replies = await many(house, [plain(f"during {number}") for number in range(20)], 20)
        assert {reply.code for reply in replies} == {451}
        assert max(reply.seconds for reply in replies) < 10.0
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    deadline = time.monotonic() + 60
    while (await send(house.port, plain("after"))).code != 250:
        assert time.monotonic() < deadline
    await until(lambda: {"before", "after"} <= subjects(sink).keys(), 60)


async def test_a_broker_that_is_killed_comes_back_and_nothing_is_restarted(house: House, sink: Sink) -> None:
    members = house.members()
    pids = brokers(house)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    replies = await many(house, [plain(f"killed {number}") for number in range(10)], 10)
    assert {reply.code for reply in replies} <= {250, 451}
    assert max(reply.seconds for reply in replies) < 10.0
    await start_brokers_again()
    deadline = time.monotonic() + 60
    while (await send(house.port, plain("after"))).code != 250:
        assert time.monotonic() < deadline
    await until(lambda: "after" in subjects(sink), 60)
    accepted = {f"killed {n}" for n, reply in enumerate(replies) if reply.code == 250}
    await until(lambda: accepted <= subjects(sink).keys(), 60)
    assert members.keys() - set(pids) <= house.members().keys()
