"""Held mail in a whole Gatepost on one machine."""

from __future__ import annotations

from pathlib import Path

from services.runtime.ports import free_ports
from tests.house.gatepost import House
from tests.house.held_life import ENVIRON, configured, life
from tests.house.sink import Sink


async def test_a_held_message_lives_and_leaves_nothing(tmp_path: Path, sink: Sink) -> None:
    arguments = configured(tmp_path, sink)
    async with House(tmp_path / "data", free_ports(1)[0], *arguments, environ=ENVIRON) as house:
        await life(house, sink, {})
        key = tmp_path / "data" / "quarantine.key"
        assert key.stat().st_mode & 0o777 == 0o600
        log = "\n".join(house.log)
        assert key.read_text().strip() not in log
        assert "/held/" not in log  # who holds a link may act
