"""The quarantine's commands against a whole Gatepost: what people type, and what it says and does."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import aiohttp

from services.runtime.ports import free_ports
from tests.house.gatepost import House
from tests.house.held_life import CONFIG, lying
from tests.house.sender import GTUBE, plain, send
from tests.house.sink import Sink

WITHIN = 60.0


async def said(house: House, *arguments: str, code: int = 0) -> str:
    """Return what a command printed; it must end with this code."""
    answer = await house.gatepost(*arguments)
    assert answer.code == code, (arguments, answer)
    return answer.out + answer.err


async def shows(house: House, pattern: str, *arguments: str) -> re.Match[str]:
    """Return the match once the command prints it."""
    deadline = time.monotonic() + WITHIN
    while not (found := re.search(pattern, text := await said(house, *arguments), re.MULTILINE)):
        assert time.monotonic() < deadline, text
    return found


async def test_every_command(tmp_path: Path, sink: Sink) -> None:
    config = tmp_path / "gatepost.yaml"
    config.write_text(CONFIG.format(port=sink.port, hours="7") + "      training: yes\n")
    async with House(tmp_path / "data", free_ports(1)[0], "--config", str(config)) as house:
        octets = plain("typed", f"{GTUBE}\r\n")
        assert (await send(house.port, octets)).code == 250
        held = (await shows(house, r"^(\S+) .*typed", "quarantine", "list"))[1]
        await tokens(house)
        await senders(house, tmp_path)

        assert "example.test" not in await said(house, "quarantine", "release-to", held, "x@other.test", code=2)
        assert "stays held" in await said(house, "quarantine", "release-to", held, "analyst@example.test")
        deadline = time.monotonic() + WITHIN
        while not sink.arrivals:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        assert sink.arrivals[0].header("Subject") == "[Quarantine] typed"
        assert octets in sink.arrivals[0].content

        assert "reported as spam" in await said(house, "quarantine", "report", held, "spam")
        for number in range(int(WITHIN)):
            if "1 spam" in await said(house, "quarantine", "export", "example", str(tmp_path / f"out{number}")):
                break
        (file,) = (tmp_path / f"out{number}" / "spam").iterdir()
        assert octets in file.read_bytes()

        assert "1 keys of example destroyed" in await said(house, "quarantine", "destroy-key", "example", "--yes")
        assert not [key for key in await lying(house, {}) if key.startswith("keys/")]
        await shows(house, "deleted", "quarantine", "show", held)


async def tokens(house: House) -> None:
    """A token opens the API until it is revoked."""
    token = (
        await said(house, "tokens", "create", "--role", "auditor", "--customer", "example", "--label", "olga")
    ).strip()
    identity = token.split("_")[1]
    listed = await said(house, "tokens", "list")
    assert re.search(rf"^{identity}\s+auditor\s+example\s+olga", listed, re.MULTILINE)
    assert token not in listed
    async with aiohttp.ClientSession(house.api, headers={"Authorization": f"Bearer {token}"}) as session:
        async with session.get("/v1/customers/example/messages") as answer:
            assert [each["subject"] for each in (await answer.json())["messages"]] == ["typed"]
        assert await said(house, "tokens", "revoke", identity) == f"{identity} revoked\n"
        deadline = time.monotonic() + WITHIN
        while True:  # a token is remembered for some seconds
            async with session.get("/v1/customers/example/messages") as answer:
                if answer.status == 401:
                    break
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
    assert "revoked" in await said(house, "tokens", "list")
    await said(house, "tokens", "revoke", identity, code=2)


async def senders(house: House, folder: Path) -> None:
    """A sender is approved, blocked and taken out, by hand and by file."""
    await said(house, "senders", "approve", "example", "friend@partner.test")
    await said(house, "senders", "block", "example", "@shop.test", "--for", "@example.test")
    listed = await said(house, "senders", "list")
    assert re.search(r"^example\s+all\s+friend@partner\.test\s+approved", listed, re.MULTILINE)
    assert re.search(r"^example\s+@example\.test\s+@shop\.test\s+blocked", listed, re.MULTILINE)
    await said(house, "senders", "remove", "example", "friend@partner.test")
    assert "friend@" not in await said(house, "senders", "list")
    file = folder / "senders.yaml"
    file.write_text('senders:\n  - {customer: example, sender: "@new.test", list: approved}\n')
    assert "1 entries; 2 changes published" in await said(house, "senders", "apply", str(file))
    assert "0 changes" in await said(house, "senders", "apply", str(file))
    listed = await said(house, "senders", "list")
    assert "@new.test" in listed
    assert "@shop.test" not in listed
