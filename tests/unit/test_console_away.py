"""The console without its database: each page says so in the reader's language, and nobody has to log in again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest

from services.console.roles import Role
from services.core.errors import DatabaseUnavailable
from services.runtime.health import Health
from services.runtime.neighbours import watch_database
from tests.eventually import eventually
from tests.house.asgi import Browser
from tests.house.console import PASSWORD, ConsoleHouse, console_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        yield house


@pytest.fixture
async def owner(house: ConsoleHouse) -> Browser:
    return await house.person(Role.OWNER)


def away(*_: object) -> NoReturn:
    raise DatabaseUnavailable("connection refused")


def take_away(house: ConsoleHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("reading", "writing"):
        monkeypatch.setattr(type(house.book.database), name, away)


@pytest.mark.parametrize(
    ("language", "said"), [("en", "can&#39;t reach its database"), ("it", "non raggiunge il suo database")]
)
async def test_pages_say_it_in_the_readers_language(
    house: ConsoleHouse, owner: Browser, monkeypatch: pytest.MonkeyPatch, language: str, said: str
) -> None:
    take_away(house, monkeypatch)
    owner.language = language
    for path in ("/", "/c/acme/dashboard", "/c/acme/messages", "/me", "/customers", "/c/acme/messages.csv"):
        answer = await owner.get(path)
        assert (answer.status, said in answer.text) == (503, True), (path, answer.text)
        assert answer.headers["retry-after"] == "5"
    answer = await owner.post("/c/acme/domains", {"csrf": "", "name": "acme.test"})
    assert (answer.status, said in answer.text) == (503, True)


async def test_who_comes_to_log_in_is_told_and_sessions_go_on_afterwards(
    house: ConsoleHouse, owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = house.browser("198.51.100.7")
    with monkeypatch.context() as patch:
        take_away(house, patch)
        assert (await stranger.get("/c/acme/dashboard")).to == "/login"
        assert (await stranger.get("/login")).status == 200
        form = {"address": "owner@acme.test", "password": PASSWORD}
        assert (await stranger.post("/login", form)).status == 503
        token = Browser(house.app, "https://console.test", token="gpc_x")
        answer = await token.api("GET", "/customers/acme/figures")
        assert (answer.status, answer.headers.get("retry-after")) in {(503, "5"), (401, None)}
    assert (await owner.get("/c/acme/dashboard")).status == 200


async def test_a_process_says_for_how_long_its_database_is_away(house: ConsoleHouse) -> None:
    health, database, down = Health(time.monotonic), house.book.database, False

    class Asked:
        async def check(self) -> None:
            if down:
                raise DatabaseUnavailable("connection refused")
            await database.check()

    watching = asyncio.create_task(watch_database(Asked(), health, every=0.01))
    await asyncio.sleep(0.05)
    assert b"missing" not in health.readiness()[1]
    down = True
    await eventually(lambda: b'"database":"waiting for the database: connection refused"' in health.readiness()[1])
    assert health.readiness()[0] == {}  # whoever comes is to see the page that says so
    down = False
    await eventually(lambda: b"missing" not in health.readiness()[1])
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
