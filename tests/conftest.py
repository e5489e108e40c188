"""What tests share: a real broker, started once for the whole run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from services.runtime.broker import Broker
from services.runtime.ports import free_ports
from services.runtime.provision import make_topics
from tests.house.sink import Sink

# How long an example takes is the machine's matter: beside other work a deadline fails for nothing.
settings.register_profile("gatepost", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gatepost")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of a real Kafka with all topics: GATEPOST_TEST_KAFKA, or the embedded broker."""
    given = os.environ.get("GATEPOST_TEST_KAFKA")
    if given:
        asyncio.run(make_topics(given))
        yield given
        return
    folder: Path = tmp_path_factory.mktemp("broker")
    with asyncio.Runner() as runner:
        broker = Broker(folder)
        address = runner.run(broker.start())
        runner.run(make_topics(address))
        yield address
        runner.run(broker.stop())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mta() -> AsyncIterator[Sink]:
    """The customer's MTA, one for all tests of a file."""
    async with Sink(free_ports(1)[0]) as mta:
        yield mta


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """The customer's MTA."""
    async with Sink(free_ports(1)[0]) as sink:
        yield sink
