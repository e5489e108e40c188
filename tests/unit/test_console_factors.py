"""Second factors: codes by time, recovery codes, and who must have one."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from services.cli.console import operator
from services.cli.site import Site
from services.console import totp
from services.console.factors import FRESH
from services.console.roles import Role
from services.console.sessions import IDLE
from services.console.steps import SECONDS
from services.console.tables import AUDIT, RECOVERY, TOTP
from services.console.throttle import WINDOW
from tests.house.asgi import Browser
from tests.house.console import BASE, OPERATOR, PASSWORD, ConsoleHouse, console_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        yield house


def seed_of(page: str) -> bytes:
    found = re.search(r"<pre[^>]*>([A-Z2-7]{4}(?: [A-Z2-7]{4}){7})</pre>", page)
    assert found is not None, page
    return base64.b32decode(found[1].replace(" ", ""))


async def enrol(house: ConsoleHouse, browser: Browser) -> tuple[bytes, list[str]]:
    """Set up an authenticator; return its seed and the recovery codes."""
    seed = seed_of((await browser.fill("/me/factors", {"action": "begin"})).text)
    done = await browser.fill("/me/factors", {"action": "confirm", "code": totp.code_at(seed, house.clock.now())})
    codes = re.findall(r"\b[a-z2-7]{4}(?:-[a-z2-7]{4}){3}\b", done.text)
    assert len(codes) == totp.RECOVERY_CODES
    house.clock.advance(totp.STEP)  # the code that confirmed it is used up
    return seed, codes


async def password(house: ConsoleHouse, address: str, client: str = "192.0.2.9") -> Browser:
    """Return a browser that has shown the password."""
    browser = house.browser(client)
    answer = await browser.post("/login", {"address": address, "password": PASSWORD})
    assert answer.to == "/second"
    return browser


def test_codes_are_those_of_rfc_6238() -> None:
    """Appendix B, SHA-1, cut to six digits."""
    seed = b"12345678901234567890"
    for at, code in ((59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037"), (20_000_000_000, "353130")):
        assert totp.code_at(seed, at) == code
        assert totp.matched(seed, code, at, 0) == at // 30
        assert totp.matched(seed, code, at + 30, 0) == at // 30  # a clock may be a step slow
        assert totp.matched(seed, code, at - 30, 0) == at // 30
        assert totp.matched(seed, code, at + 60, 0) is None
        assert totp.matched(seed, code, at, at // 30) is None  # used
    assert totp.matched(seed, "٢٨٧٠٨٢", 59, 0) is None


async def test_a_code_is_asked_for_and_none_works_twice(house: ConsoleHouse) -> None:
    first = await house.person(Role.ADMINISTRATOR, address="ann@acme.test")
    seed, _ = await enrol(house, first)
    browser = await password(house, "ann@acme.test")
    assert (await browser.get("/c/acme")).to == "/login"
    code = totp.code_at(seed, house.clock.now())
    wrong = await browser.post("/second", {"code": f"{(int(code) + 1) % 1_000_000:06}"})
    assert wrong.status == 409
    assert (await browser.post("/second", {"code": f" {code[:3]} {code[3:]} "})).to == "/"
    assert (await browser.get("/c/acme")).status == 200
    other = await password(house, "ann@acme.test")
    again = await other.post("/second", {"code": code})
    assert (again.status, again.text) == (409, wrong.text)  # one that was used is as wrong as any
    assert (await other.get("/c/acme")).to == "/login"
    house.clock.advance(totp.STEP)
    assert (await other.post("/second", {"code": totp.code_at(seed, house.clock.now())})).to == "/"


async def test_a_step_ends_by_time_and_by_use(house: ConsoleHouse) -> None:
    seed, _ = await enrol(house, await house.person(Role.ADMINISTRATOR, address="ann@acme.test"))
    browser = await password(house, "ann@acme.test")
    stolen = dict(browser.cookies)
    house.clock.advance(SECONDS)
    assert (await browser.post("/second", {"code": totp.code_at(seed, house.clock.now())})).to == "/login"
    browser = await password(house, "ann@acme.test")
    stolen = dict(browser.cookies)
    assert (await browser.post("/second", {"code": totp.code_at(seed, house.clock.now())})).to == "/"
    house.clock.advance(totp.STEP)
    thief = house.browser("192.0.2.66")
    thief.cookies = stolen
    assert (await thief.post("/second", {"code": totp.code_at(seed, house.clock.now())})).to == "/login"


async def test_recovery_codes_work_once_each_and_stand_as_hashes(house: ConsoleHouse) -> None:
    first = await house.person(Role.ADMINISTRATOR, address="ann@acme.test")
    seed, codes = await enrol(house, first)
    browser = await password(house, "ann@acme.test")
    assert (await browser.post("/second", {"code": codes[0].upper().replace("-", " ")})).to == "/"
    assert "Codes that are left: 9" in (await browser.get("/me/factors")).text
    assert (await (await password(house, "ann@acme.test")).post("/second", {"code": codes[0]})).status == 409
    made = await browser.fill("/me/factors", {"action": "codes"})
    assert made.status == 200
    assert (await (await password(house, "ann@acme.test")).post("/second", {"code": codes[1]})).status == 409  # void
    async with house.book.reading() as connection:
        dumped = repr([(await connection.execute(select(table))).all() for table in (RECOVERY, TOTP, AUDIT)])
    secrets = [
        *codes,
        codes[2].replace("-", ""),
        seed.hex(),
        totp.secret_of(seed),
        totp.secret_of(seed).replace(" ", ""),
    ]
    assert [each for each in secrets if each in dumped] == []
    assert "recovery-code-used" in dumped


async def test_who_guesses_codes_waits_from_wherever_and_however_many_steps_he_begins(house: ConsoleHouse) -> None:
    seed, codes = await enrol(house, await house.person(Role.ADMINISTRATOR, address="ann@acme.test"))
    texts = set()
    for number in range(house.config.failures_by_account):
        browser = await password(house, "ann@acme.test", f"192.0.2.{100 + number}")
        texts.add((await browser.post("/second", {"code": "000000" if number % 2 else "aaaa-aaaa"})).text)
    assert len(texts) == 1
    browser = await password(house, "ann@acme.test")
    for right in (totp.code_at(seed, house.clock.now()), codes[0]):
        assert "Please wait" in (await browser.post("/second", {"code": right})).text
    house.clock.advance(WINDOW + 1)
    browser = await password(house, "ann@acme.test")
    assert (await browser.post("/second", {"code": totp.code_at(seed, house.clock.now())})).to == "/"


async def test_a_link_from_a_mail_is_no_second_factor(house: ConsoleHouse) -> None:
    seed, _ = await enrol(house, await house.person(Role.ADMINISTRATOR, address="ann@acme.test"))
    await house.browser().post("/forgot", {"address": "ann@acme.test"})
    await house.settle()
    link = next(link for order, link in house.post.sent if order.kind == "reset")
    thief = house.browser()
    new = {"password": "another fine password", "again": "another fine password"}
    assert (await thief.post(f"/link/{link}", new)).to == "/second"
    assert (await thief.get("/c/acme")).to == "/login"
    assert (await thief.post("/second", {"code": totp.code_at(seed, house.clock.now())})).to == "/"


async def test_what_the_old_password_began_ends_with_it(house: ConsoleHouse) -> None:
    seed, _ = await enrol(house, await house.person(Role.ADMINISTRATOR, address="ann@acme.test"))
    thief = await password(house, "ann@acme.test")
    await house.browser().post("/forgot", {"address": "ann@acme.test"})
    await house.settle()
    link = next(link for order, link in house.post.sent if order.kind == "reset")
    new = {"password": "another fine password", "again": "another fine password"}
    assert (await house.browser().post(f"/link/{link}", new)).to == "/second"
    assert (await thief.post("/second", {"code": totp.code_at(seed, house.clock.now())})).to == "/login"


async def test_factors_change_in_a_fresh_session_alone_and_the_other_sessions_end(house: ConsoleHouse) -> None:
    one, two = await house.person(Role.OWNER, address="ann@acme.test"), house.browser()
    await two.post("/login", {"address": "ann@acme.test", "password": PASSWORD})
    await enrol(house, one)
    assert (await two.get("/c/acme")).to == "/login"
    shown = await one.fill("/me/factors", {"action": "begin"})
    assert "There is an authenticator already" in shown.text
    house.clock.advance(FRESH)
    for form in ({"action": "remove"}, {"action": "codes"}, {"action": "begin"}):
        assert "log out and in again" in (await one.fill("/me/factors", form)).text, form
    assert "log out and in again" in (await one.get("/me/passkeys")).text
    browser = await password(house, "ann@acme.test")
    wrong = await browser.post("/second", {"code": "123"})
    assert wrong.status == 409


async def test_without_a_factor_nothing_is_open_where_one_is_required(house: ConsoleHouse) -> None:
    owner = await house.person(Role.OWNER, address="own@acme.test")
    ann = await house.person(Role.ADMINISTRATOR, address="ann@acme.test")
    assert (await owner.fill("/c/acme/sign-in", {"action": "factor", "required": "yes"})).status == 303
    for browser in (owner, ann):
        for path in ("/c/acme", "/c/acme/domains", "/c/acme/tokens", "/c/acme/sign-in"):
            assert (await browser.get(path)).to == "/me/factors", path
    assert "A second factor is required" in (await ann.get("/me/factors")).text
    await enrol(house, ann)
    assert (await ann.get("/c/acme")).status == 200
    assert (await owner.get("/c/acme")).to == "/me/factors"


async def test_operators_can_be_required_to_have_one(tmp_path: Path) -> None:
    async with console_house(tmp_path, operators_second_factor=True) as house:
        browser = await house.person(Role.OPERATOR, "", "op@console.test")
        assert (await browser.get("/customers")).to == "/me/factors"
        await enrol(house, browser)
        assert (await browser.get("/customers")).status == 200


async def test_an_administrator_takes_lost_factors_away_but_not_his_own_and_no_owners(house: ConsoleHouse) -> None:
    ann = await house.person(Role.ADMINISTRATOR, address="ann@acme.test")
    await enrol(house, ann)
    owner, admin = await house.person(Role.OWNER, address="own@acme.test"), await house.person(Role.ADMINISTRATOR)
    listed = await house.desk.accounts.accounts(OPERATOR, customer="acme")
    ids = {each.address: each.id for each in listed.accounts}
    for address in ("own@acme.test", "administrator@acme.test"):
        form = {"action": "factors", "account": ids[address]}
        assert (await admin.fill("/c/acme/accounts", form)).status == 403, address
    form = {"action": "factors", "account": ids["ann@acme.test"]}
    assert (await admin.fill("/c/acme/accounts", form)).status == 303
    assert (await ann.get("/c/acme")).to == "/login"
    again = await ann.post("/login", {"address": "ann@acme.test", "password": PASSWORD})
    assert again.to == "/"
    assert (await owner.get("/c/acme")).status == 200


async def test_a_wrong_first_code_shows_the_same_secret_again(house: ConsoleHouse) -> None:
    browser = await house.person(Role.ADMINISTRATOR)
    seed = seed_of((await browser.fill("/me/factors", {"action": "begin"})).text)
    again = await browser.fill("/me/factors", {"action": "confirm", "code": "000000"})
    assert again.status == 409
    assert seed_of(again.text) == seed
    house.clock.advance(IDLE - 1)
    assert "second-factor-added" not in (await browser.get("/c/acme/audit")).text


async def test_who_is_at_the_machine_takes_an_operators_lost_factors_away(
    house: ConsoleHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEPOST_CONSOLE_URL", BASE)
    await enrol(house, await house.person(Role.OPERATOR, "", "op@console.test"))
    site = Site(kafka="", store="", smtp="", database=house.book.database.url.render_as_string())
    for reset, to in ((False, "/second"), (True, "/?done=password-set")):
        link = await operator(site, "op@console.test", "en", reset_factors=reset)
        answer = await house.browser().post(link.removeprefix(BASE), {"password": PASSWORD, "again": PASSWORD})
        assert answer.to == to
