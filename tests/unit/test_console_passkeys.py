"""Passkeys with an authenticator in software: made, used, used wrongly, removed."""

from __future__ import annotations

import contextlib
import html
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from services.console.ceremony import BadPasskey, Ceremony
from services.console.pages import POLICY, SCRIPTED
from services.console.roles import Role
from services.console.steps import SECONDS
from services.console.tables import ACCOUNTS, PASSKEYS
from tests.house.asgi import Answer, Browser
from tests.house.console import BASE, PASSWORD, ConsoleHouse, console_house
from tests.house.passkey import PRESENT, Authenticator


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        yield house


def options_of(page: Answer) -> str:
    found = re.search(r'data-options="([^"]*)"', page.text)
    assert found is not None, page.text
    return html.unescape(found[1])


async def add(browser: Browser, authenticator: Authenticator) -> Answer:
    page = await browser.get("/me/passkeys")
    csrf = re.search(r'name="csrf" value="(\w+)"', page.text)
    assert csrf is not None
    answer = authenticator.make(options_of(page))
    return await browser.post("/me/passkeys", {"csrf": csrf[1], "label": "laptop", "answer": answer})


async def use(browser: Browser, authenticator: Authenticator) -> Answer:
    return await browser.post("/passkey", {"answer": authenticator.get(options_of(await browser.get("/passkey")))})


async def test_made_used_alone_and_removed(house: ConsoleHouse) -> None:
    ann, key = await house.person(Role.ADMINISTRATOR, address="ann@acme.test"), Authenticator(BASE)
    made = await add(ann, key)
    assert len(re.findall(r"\b[a-z2-7]{4}(?:-[a-z2-7]{4}){3}\b", made.text)) == 10
    asked = json.loads(options_of(await ann.get("/me/passkeys")))
    assert asked["excludeCredentials"][0]["type"] == "public-key"
    assert (asked["rp"]["id"], asked["attestation"]) == ("console.test", "none")
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    browser = house.browser()
    assert (await use(browser, key)).to == "/"
    assert "ann@acme.test" in (await browser.get("/c/acme")).text
    passkey = re.search(r'name="passkey" value="(\w+)"', (await browser.get("/me/factors")).text)
    assert passkey is not None
    other = await house.person(Role.OWNER)
    assert (await other.fill("/me/factors", {"action": "forget", "passkey": passkey[1]})).status == 404
    assert (await browser.fill("/me/factors", {"action": "forget", "passkey": passkey[1]})).status == 303
    assert (await use(house.browser(), key)).status == 409
    audit = (await browser.get("/c/acme/audit")).text
    assert "second-factor-added" in audit
    assert "second-factor-removed" in audit


async def test_a_password_is_not_enough_for_who_has_one_and_the_passkey_is_the_second_step(house: ConsoleHouse) -> None:
    ann, key = await house.person(Role.ADMINISTRATOR, address="ann@acme.test"), Authenticator(BASE)
    await add(ann, key)
    eve, stranger = await house.person(Role.OWNER, address="eve@acme.test"), Authenticator(BASE)
    await add(eve, stranger)
    browser = house.browser()
    assert (await browser.post("/login", {"address": "ann@acme.test", "password": PASSWORD})).to == "/second"
    page = await browser.get("/second")
    assert json.loads(options_of(page))["allowCredentials"]
    wrong = await browser.post("/second", {"action": "passkey", "answer": stranger.get(options_of(page))})
    assert "not accepted" in wrong.text
    answer = key.get(options_of(page))
    assert (await browser.post("/second", {"action": "passkey", "answer": answer})).to == "/"
    assert (await browser.get("/c/acme")).status == 200


async def test_what_is_wrong_about_an_answer_is_refused(house: ConsoleHouse) -> None:
    ann, key = await house.person(Role.ADMINISTRATOR, address="ann@acme.test"), Authenticator(BASE)
    for wrong in (
        Authenticator("https://evil.test"),
        Authenticator(BASE, flags=PRESENT),  # nobody's finger
    ):
        assert "not accepted" in (await add(ann, wrong)).text
    await add(ann, key)
    browser = house.browser()
    page = await browser.get("/passkey")
    good = key.get(options_of(page))
    told = json.loads(good)
    for broken in (
        "",
        "{}",
        "[]",
        "[" * 5_000,
        json.dumps({**told, "response": {**told["response"], "signature": "AAAA"}}),
        json.dumps({**told, "response": {**told["response"], "userHandle": "AAAA"}}),
        json.dumps({**told, "rawId": "AAAA", "id": "AAAA"}),
    ):
        assert (await browser.post("/passkey", {"answer": broken})).status == 409, broken[:40]
        page = await browser.get("/passkey")
    stale = await browser.post("/passkey", {"answer": good})  # to an earlier challenge
    assert stale.status == 409
    key.origin = "https://evil.test"
    assert (await use(house.browser(), key)).status == 409
    key.origin, key.flags = BASE, PRESENT
    assert (await use(house.browser(), key)).status == 409
    key.flags = Authenticator(BASE).flags
    assert (await use(house.browser(), key)).to == "/"
    key.steady = True  # a copy, that counts for itself
    assert (await use(house.browser(), key)).status == 409


async def test_a_challenge_is_answered_once_in_time_and_by_the_browser_that_has_its_cookie(house: ConsoleHouse) -> None:
    ann, key = await house.person(Role.ADMINISTRATOR, address="ann@acme.test"), Authenticator(BASE)
    await add(ann, key)
    browser, thief = house.browser(), house.browser("192.0.2.66")
    answer = key.get(options_of(await browser.get("/passkey")))
    kept = dict(browser.cookies)
    assert (await thief.post("/passkey", {"answer": answer})).status == 409
    assert (await browser.post("/passkey", {"answer": answer})).to == "/"
    thief.cookies = kept
    assert (await thief.post("/passkey", {"answer": answer})).status == 409
    late = house.browser()
    answer = key.get(options_of(await late.get("/passkey")))
    house.clock.advance(SECONDS)
    assert (await late.post("/passkey", {"answer": answer})).status == 409
    async with house.book.database.writing() as connection:
        await connection.execute(update(ACCOUNTS).values(closed_at=1.0))
    assert (await use(house.browser(), key)).status == 409


async def test_one_passkey_is_one_accounts(house: ConsoleHouse) -> None:
    key = Authenticator(BASE)
    await add(await house.person(Role.ADMINISTRATOR, address="ann@acme.test"), key)
    second = await add(await house.person(Role.OWNER, address="eve@acme.test"), key)
    assert "not accepted" in second.text
    async with house.book.reading() as connection:
        assert len((await connection.execute(select(PASSKEYS))).all()) == 1


async def test_scripts_run_on_the_pages_of_passkeys_alone_and_never_inline(house: ConsoleHouse) -> None:
    ann = await house.person(Role.ADMINISTRATOR, address="ann@acme.test")
    for path, scripted in (("/passkey", True), ("/me/passkeys", True), ("/me/factors", False), ("/login", False)):
        answer = await ann.get(path)
        assert answer.headers["content-security-policy"] == (SCRIPTED if scripted else POLICY), path
        assert re.findall(r"<script[^>]*>", answer.text) == (
            ['<script src="/static/passkey.js" defer>'] if scripted else []
        )
    await add(ann, Authenticator(BASE))
    await ann.post("/login", {"address": "ann@acme.test", "password": PASSWORD})
    assert (await ann.get("/second")).headers["content-security-policy"] == SCRIPTED
    script = await ann.get("/static/passkey.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "fetch" not in script.text.replace("Nothing is fetched", "")


async def test_at_an_address_there_are_none(tmp_path: Path) -> None:
    """A relying party is a name (WebAuthn section 5.1.2)."""
    async with console_house(tmp_path, base="http://127.0.0.1:8482") as house:
        await house.customer("acme")
        ann = await house.person(Role.ADMINISTRATOR)
        assert "passkey" not in (await ann.get("/login")).text.lower()
        assert (await ann.get("/passkey")).status == 404
        assert "need a console that is reached by a name" in (await ann.get("/me/passkeys")).text
        assert (await ann.get("/me/factors")).status == 200


CEREMONY = Ceremony("console.test", BASE, "Gatepost")
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "id": TREES,
            "rawId": TREES,
            "type": st.just("public-key") | TREES,
            "response": st.dictionaries(
                st.sampled_from(
                    [
                        "clientDataJSON",
                        "attestationObject",
                        "authenticatorData",
                        "signature",
                        "userHandle",
                        "transports",
                    ]
                ),
                TREES,
            ),
        },
    )
)
def test_whatever_a_browser_sends_is_refused_by_one_error(tree: object) -> None:
    answer = json.dumps(tree)
    for look in (
        lambda: CEREMONY.registered(answer, bytes(32)),
        lambda: CEREMONY.verified(answer, bytes(32), bytes(32), 0),
    ):
        with pytest.raises(BadPasskey):
            look()
    with contextlib.suppress(BadPasskey):
        CEREMONY.shown(answer)
