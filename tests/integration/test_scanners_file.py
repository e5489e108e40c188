"""What `gatepost scan FILE` does: every scanner on one file, without a broker or a pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.events import Status
from services.core.errors import ConfigError
from services.core.stored import pack
from services.scanners.config import ScannersConfig
from services.scanners.file import scan_file
from services.scanners.heuristics import GTUBE
from services.scanners.registry import discover
from tests.mails import EICAR, PLAIN, crlf
from tests.samples import received

CONFIG = ScannersConfig(dns="127.0.0.1:9")  # nobody answers there


async def statuses(path: Path) -> dict[str, Status]:
    return {spec.name: finding.status for spec, finding in await scan_file(path, CONFIG)}


async def test_a_message(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes(PLAIN + EICAR + b"\n" + GTUBE + b"\n")
    found = await statuses(path)
    assert found == {**dict.fromkeys(discover(), Status.CLEAN), "content": Status.SPAM, "virus": Status.VIRUS}


async def test_an_object_of_the_store(tmp_path: Path) -> None:
    raw = crlf(PLAIN)
    path = tmp_path / "object"
    path.write_bytes(pack(received(size=len(raw))) + raw)
    assert await statuses(path) == dict.fromkeys(discover(), Status.CLEAN)


async def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.eml: No such file"):
        await scan_file(tmp_path / "nothing.eml", CONFIG)
