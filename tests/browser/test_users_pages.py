"""Every page of the users' console in a real browser: both languages, wide and narrow, light and dark, by axe.

What `test_console_pages` needs, this does too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.events import SenderEntry, Status
from services.core.directory import recipient_digest
from services.quarantine.api.serve import listening, server_of
from services.runtime.ports import free_ports
from tests.browser.test_console_pages import look
from tests.house.chromium import Chromium, chromium
from tests.house.console import PASSWORD
from tests.house.users import DIGEST, UsersHouse, users_house
from tests.parts import named, program

ANNA, ALIAS = "anna@acme.test", "a.rossi@acme.test"


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[UsersHouse]:
    (port,) = free_ports(1)
    async with users_house(folder, f"http://127.0.0.1:{port}") as house:
        with listening("127.0.0.1", port) as listener:
            server = server_of(house.app)
            serving = asyncio.create_task(server.serve([listener]))
            try:
                yield house
            finally:
                server.should_exit = True
                await serving


def axe_core() -> str:
    return Path(named("GATEPOST_TEST_AXE", "axe.min.js")).read_text()


@pytest.mark.parametrize("language", ["en", "it"])
async def test_every_page_can_be_seen_and_heard(tmp_path: Path, language: str) -> None:
    axe = axe_core()
    wrong: list[str] = []
    async with served(tmp_path) as house, chromium(program("chromium"), tmp_path / "profile", language) as browser:

        async def see(path: str, name: str) -> None:
            await browser.open(house.config.base + path)
            assert await browser.run("document.documentElement.lang") == language, path
            wrong.extend(await look(browser, axe, f"{language}-users-{name}"))

        await browser.anew()
        await browser.scripts(on=False)
        await house.domain("acme", "alt.test", digest=DIGEST, users_release="spam")
        await see("/login", "login")
        await see("/forgot", "forgot")
        await see("/sso", "sso")
        await see("/sso/acme", "sso-start")
        await see("/link/nothing", "link-bad")
        await see(f"/link/{await house.link(await house.person('acme', ANNA, ALIAS))}", "link")
        await browser.submit({"address": ANNA, "password": PASSWORD, "again": PASSWORD})
        wrong += await look(browser, axe, f"{language}-users-empty")
        await house.hold("acme", ANNA, subject="an offer", status=Status.SPAM)
        held = await house.hold("acme", ANNA, ALIAS, subject="a parcel", status=Status.PHISHING)
        salt = house.console.published("acme").salt  # type: ignore[union-attr]
        for whom, sender in (("*", "@partner.test"), (recipient_digest(salt, ANNA), "news@shop.test")):
            house.lists.apply(SenderEntry(customer="acme", whom=whom, sender=sender, approved=True, by="x", at=1.0))
        await see("/", "held")
        await see(f"/held/{held}", "message")
        await shown_alone(browser)
        await see("/senders", "senders")
        await browser.submit({"sender": "no address"}, "button[value=approved]")
        wrong += await look(browser, axe, f"{language}-users-senders-wrong")
        await see("/settings", "settings")
        await browser.open(f"{house.config.base}/")
        await browser.run("document.querySelector('input[name=message]').checked = true")
        await browser.submit({}, "button[value=release]")
        await house.carry_out()
        await see("/?everything=yes", "after")
        await browser.submit({}, ".who button")
        assert await browser.run("location.pathname") == "/login"
    assert wrong == []


async def shown_alone(browser: Chromium) -> None:
    """The frame is there, filled, and out of reach of the page, as the page is of it."""
    assert await browser.run("document.querySelector('iframe').contentDocument") is None
    assert await browser.run("document.querySelector('iframe').getBoundingClientRect().height > 100")
