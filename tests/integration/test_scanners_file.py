"""What `gatepost scan FILE` does: every scanner on one file, without a broker or a pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.events import DataRule, Direction, Status
from services.core.direction import plan_of
from services.core.errors import ConfigError
from services.core.stored import pack
from services.scanners.briefing import Briefing
from services.scanners.config import ScannersConfig
from services.scanners.file import scan_file
from services.scanners.heuristics import GTUBE
from services.scanners.registry import discover
from tests.mails import EICAR, PLAIN, crlf
from tests.samples import received

INBOUND = plan_of(Direction.INBOUND, tuple(discover()))
CONFIG = ScannersConfig(dns="127.0.0.1:9")  # nobody answers there


async def statuses(path: Path) -> dict[str, Status]:
    return {spec.name: finding.status for spec, finding in await scan_file(path, CONFIG)}


async def test_a_message(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes(PLAIN + EICAR + b"\n" + GTUBE + b"\n")
    others = dict.fromkeys(INBOUND, Status.CLEAN)
    assert await statuses(path) == {**others, "content": Status.SPAM, "virus": Status.VIRUS}


async def test_an_object_of_the_store(tmp_path: Path) -> None:
    raw = crlf(PLAIN)
    path = tmp_path / "object"
    path.write_bytes(pack(received(size=len(raw))) + raw)
    assert await statuses(path) == dict.fromkeys(INBOUND, Status.CLEAN)


async def test_a_message_on_its_way_out(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes(PLAIN + b"4111 1111 1111 1111\n")
    briefing = Briefing(customer="acme", data_loss=(DataRule(name="cards", then="block", numbers=("card",)),))
    found = {spec.name: finding for spec, finding in await scan_file(path, CONFIG, briefing, outgoing=True)}
    assert found.keys() == set(plan_of(Direction.OUTBOUND, tuple(discover())))
    assert [each.code for each in found["dlp"].evidence] == ["DLP_CARDS"]


async def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.eml: No such file"):
        await scan_file(tmp_path / "nothing.eml", CONFIG)
