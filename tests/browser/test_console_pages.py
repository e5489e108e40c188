"""Every page of the console in a real browser: both languages, wide and narrow, light and dark; and axe finds nothing.

Scripts are switched off, save where a passkey is asked for; and no page is heavy.

GATEPOST_TEST_AXE names axe-core's axe.min.js. GATEPOST_TEST_SHOTS names a folder for pictures of what was seen.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from schemas.events import Customer, Disposition
from services.console import models
from services.console.accounts import add_account
from services.console.book import Author
from services.console.licence import DAY
from services.console.roles import Role
from services.console.totp import code_at
from services.core.ids import message_id
from services.policy.decide import decide, with_received
from services.quarantine.api.serve import listening, server_of
from services.runtime.ports import free_ports
from services.trace.decide import facts
from tests.house.chromium import Chromium, chromium
from tests.house.console import OPERATOR, PASSWORD, ConsoleHouse, console_house
from tests.parts import named, program
from tests.samples import received, verdict

WEIGHT_MOST = 300_000  # octets of a page with all that it loads, as transferred
SHOWN = (
    "document.querySelector('main h1').innerText && document.querySelector('main').innerText.length > 30"
    " && document.styleSheets[0].cssRules.length > 50"
)
WIDE, NARROW = (1280, 900), (360, 740)
SERIOUS = {"serious", "critical"}


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[ConsoleHouse]:
    (port,) = free_ports(1)
    url = f"http://localhost:{port}"  # a name: an address has no passkeys
    async with console_house(folder, base=url) as house:
        with listening("127.0.0.1", port) as listener:
            server = server_of(house.app)
            serving = asyncio.create_task(server.serve([listener]))
            try:
                yield house
            finally:
                server.should_exit = True
                await serving


async def link(house: ConsoleHouse, role: Role, customer: str, language: str) -> str:
    async with house.book.change(Author("test")) as change:
        body = models.NewAccount(
            address=f"{role.value}@{customer or 'console'}.test",
            role=role,
            language="it" if language == "it" else "en",
        )
        account = await add_account(change, customer, body)
        return await house.signin.make_link(change.connection, account, "activate", change.new_id())


def keep(path: Path, picture: bytes) -> None:
    path.write_bytes(picture)


async def look(browser: Chromium, axe: str, name: str) -> list[str]:
    """Return what is wrong with the page as it is seen now: wide and narrow, light and dark, how heavy, how bare."""
    found = []
    if not 0 < browser.transferred < WEIGHT_MOST:
        found.append(f"{name}: {browser.transferred} octets")
    if not await browser.run(SHOWN):
        found.append(f"{name}: nothing is to be read, or no style came")
    scripted = browser.scripted
    await browser.scripts(on=True)  # axe is one
    shots = os.environ.get("GATEPOST_TEST_SHOTS")
    for size, dark in ((WIDE, False), (NARROW, True)):
        await browser.shape(*size, dark=dark)
        if await browser.run("document.documentElement.scrollWidth > innerWidth + 1"):
            found.append(f"{name}: wider than a window of {size[0]}")
        await browser.run(axe)
        for violation in await browser.run("axe.run().then(result => result.violations)"):
            where = ", ".join(str(node["target"]) for node in violation["nodes"][:3])
            if violation["impact"] in SERIOUS:
                found.append(f"{name} {size[0]}: {violation['id']} at {where}")
        if shots:
            keep(Path(shots) / f"{name}-{'narrow' if size == NARROW else 'wide'}.png", await browser.shot())
    await browser.scripts(on=scripted)
    return found


class Walk:
    """Goes from page to page and notes what is wrong."""

    def __init__(self, house: ConsoleHouse, browser: Chromium, axe: str, language: str) -> None:
        self.house = house
        self.browser = browser
        self.wrong: list[str] = []
        self._axe = axe
        self._language = language

    async def go(self, path: str) -> None:
        await self.browser.open(self.house.config.base + path)
        assert await self.browser.run("document.documentElement.lang") == self._language, path

    async def look(self, name: str) -> None:
        self.wrong += await look(self.browser, self._axe, f"{self._language}-{name}")

    async def see(self, path: str, name: str) -> None:
        await self.go(path)
        await self.look(name)

    async def login(self) -> None:
        await self.go("/login")
        await self.browser.submit({"address": "owner@acme.test", "password": PASSWORD})
        if await self.browser.run("location.pathname") == "/second":
            await self.browser.scripts(on=True)
            await self.go("/second")
            await self.browser.submit({}, "button[value=passkey]")
            await self.browser.scripts(on=False)

    async def operator(self) -> None:
        """Of the operator: the ways in, and an invitation."""
        await self.see("/login", "login")
        await self.see("/forgot", "forgot")
        await self.browser.submit({"address": "nobody@acme.test"})
        await self.see("/link/nothing", "link-bad")
        await self.see(f"/link/{await link(self.house, Role.OPERATOR, '', self._language)}", "link")
        await self.browser.submit({"password": PASSWORD, "again": "something else"})
        await self.look("link-differ")
        await self.browser.submit({"password": PASSWORD, "again": PASSWORD})
        await self.browser.submit({"id": "acme", "name": "Acme Ltd", "owner": "ann@acme.test"})
        await self.see("/customers", "customers")
        await self.see("/c/acme", "customer-for-operators")
        await self.see("/dashboard", "dashboard-for-operators")
        await self.browser.submit({}, ".who button")

    async def domain(self) -> None:
        """Of the owner: a domain from its claim to its MX record."""
        await self.go(f"/link/{await link(self.house, Role.OWNER, 'acme', self._language)}")
        await self.browser.submit({"password": PASSWORD, "again": PASSWORD})
        await self.go("/c/acme/domains")
        await self.browser.submit({"name": "acme.test"})
        await self.see("/c/acme/domains/acme.test", "domain-claimed")
        claim = await self.house.desk.domains.domain(OPERATOR, customer="acme", name="acme.test")
        self.house.dns.zone["_gatepost.acme.test", "TXT"] = (claim.proof.encode(),)
        await self.browser.submit({}, "button[value=prove]")
        await self.see("/c/acme/domains/acme.test", "domain-proved")
        await self.browser.submit({"relay": "mx.acme.test"}, "button[value=route]")
        await self.house.settle()
        await self.browser.submit({}, "button[value=test]")
        await self.look("domain-test")

    async def factors(self) -> None:
        """Of the owner: the ways in beside the password."""
        await self.see("/me/factors", "factors")
        await self.browser.submit({}, "button[value=begin]")
        await self.look("factors-secret")
        secret = await self.browser.run("document.querySelector('section pre').innerText")
        seed = base64.b32decode(secret.replace(" ", ""))
        code = code_at(seed, self.house.clock.now())
        await self.browser.submit({"code": code}, "button[value=confirm]")
        await self.look("factors-codes")
        await self.browser.authenticator()
        await self.browser.scripts(on=True)
        await self.see("/me/passkeys", "passkey-new")
        await self.browser.submit({"label": "laptop"}, "button[value=passkey]")
        await self.see("/me/factors", "factors-passkeys")
        await self.see("/c/acme/sign-in", "sign-in")
        await self.browser.submit({}, ".who button")
        await self.see("/sso", "sso")
        await self.see("/sso/acme", "sso-start")
        await self.see("/passkey", "passkey")
        await self.browser.submit({}, "button[value=passkey]")
        assert await self.browser.run("location.pathname") == "/c/acme"
        await self.browser.submit({}, ".who button")
        await self.go("/login")
        await self.browser.submit({"address": "owner@acme.test", "password": PASSWORD})
        await self.look("second")
        await self.browser.submit({}, "button[value=passkey]")
        assert await self.browser.run("location.pathname") == "/c/acme"
        await self.browser.scripts(on=False)

    async def policies(self) -> None:
        """Rules, one of them tried, and what else is chosen for mail."""
        for name in ("policies", "policies/yaml", "senders", "retention", "protection", "hosts", "tls", "data-loss"):
            await self.see(f"/c/acme/{name}", name.replace("/", "-"))
        await self.go("/c/acme/policies/rule")
        now = self.house.clock.now()
        event = received(
            id=message_id(now, os.urandom), customer="acme", received_at=now, subject="An offer", plan=("content",)
        )
        said = verdict(event, "content", score=4.0, scanned_at=now)
        decided = decide(
            msgspec.structs.replace(with_received(None, event, 0), verdicts=(said,)), Customer(id="acme"), now
        )
        assert isinstance(decided, Disposition)
        await self.house.trace.write([facts(each, now) for each in (event, said, decided)])
        await self.browser.submit({"name": "Odd offers", "min_score": "3", "tag_subject": "[ODD]"}, "button[value=try]")
        await self.look("rule-tried")
        await self.browser.submit({}, "button[value=save]")
        await self.look("policies-own")
        await self.go("/c/acme/data-loss/rule")
        rule = {"name": "secret", "words": "top secret", "then": "quarantine"}
        await self.browser.submit(rule, "button[value=try]")
        await self.look("data-rule-tried")
        await self.browser.submit({}, "button[value=save]")
        await self.look("data-loss-own")
        await self.go("/c/acme/senders")
        await self.browser.submit({"senders": "boss@partner.test"}, "button[value=approved]")
        await self.house.settle()
        await self.see("/c/acme/senders", "senders-listed")

    async def rest(self) -> None:
        """Every other page, and what time does to a licence."""
        await self.house.desk.outbounds.make_keys(OPERATOR, customer="acme", name="acme.test")
        pages = ("domains", "outbound", "messages", "held", "queue", "reports", "accounts", "audit", "licence")
        for name in pages:
            await self.see(f"/c/acme/{name}", name)
        for days in (1, 90):
            await self.see(f"/c/acme/dashboard?days={days}", f"dashboard-{days}")
        await self.see("/c/acme", "customer")
        await self.see("/c/acme/domains/acme.test", "domain")
        await self.go("/c/acme/users")
        await self.browser.submit({"address": "bob@acme.test", "name": "Bob"}, "button[value=add]")
        await self.look("user")
        await self.see("/c/acme/users", "users")
        await self.see("/c/acme/users/passwords", "passwords")
        await self.go("/c/acme/tokens")
        await self.browser.run("document.getElementById('scope-1').checked = true")
        await self.browser.submit({"label": "monitoring"})
        await self.look("tokens")
        await self.policies()
        await self.see("/me", "me")
        self.house.clock.advance(40 * DAY)
        await self.login()
        await self.see("/c/acme", "grace")
        self.house.clock.advance(40 * DAY)
        await self.login()
        await self.see("/c/acme/licence", "lapsed")


@pytest.fixture(scope="session")
def axe() -> str:
    return Path(named("GATEPOST_TEST_AXE", "axe.min.js")).read_text()


@pytest.mark.parametrize("language", ["en", "it"])
async def test_every_page_can_be_seen_and_heard(tmp_path: Path, axe: str, language: str) -> None:
    async with (
        served(tmp_path) as house,
        chromium(program("chromium"), tmp_path / "profile", language) as browser,
    ):
        walk = Walk(house, browser, axe, language)
        await browser.anew()
        await browser.scripts(on=False)
        await walk.operator()
        await walk.domain()
        await walk.factors()
        await walk.rest()
    assert walk.wrong == []
