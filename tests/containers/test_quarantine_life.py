"""Held mail with PostgreSQL and S3 in containers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from testcontainers.community.postgres import PostgresContainer

from services.runtime.ports import free_ports
from tests.house.gatepost import House
from tests.house.held_life import ENVIRON, configured, life
from tests.house.sink import Sink

POSTGRES = "postgres:15"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """PostgreSQL's own image."""
    with PostgresContainer(POSTGRES, driver=None) as container:
        yield container.get_connection_url()


async def test_a_held_message_lives_and_leaves_nothing(
    tmp_path: Path, sink: Sink, postgres: str, s3: dict[str, str]
) -> None:
    arguments = [*configured(tmp_path, sink), "--store", "s3://gatepost-held"]
    environ = {**ENVIRON, **s3, "GATEPOST_DATABASE": postgres}
    async with House(tmp_path / "data", free_ports(1)[0], *arguments, environ=environ) as house:
        await life(house, sink, environ)
