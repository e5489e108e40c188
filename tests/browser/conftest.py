"""One Gatepost for all journeys: each has a customer of its own in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.house.town import Town, town


@pytest_asyncio.fixture(name="town", scope="session", loop_scope="session")
async def running_town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with town(tmp_path_factory.mktemp("town")) as made:
        yield made
