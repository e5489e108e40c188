"""A trial: begun by a form, proved by mail, limited to some; and each of these doors attacked."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from schemas.catalog import RECEIVED
from schemas.events import Received, Trial
from services.console.licence import DAY, Terms, issue_key
from services.console.outbox import Outbox
from services.console.post import OPERATORS
from services.console.proofs import BY_DOMAIN
from services.console.roles import Role
from services.console.signup import BY_ADDRESS, BY_CLIENT
from services.console.tables import ACCOUNTS, CUSTOMERS, SIGNUPS
from services.console.throttle import WINDOW
from services.runtime.fakes_store import MemoryStore
from tests.house.asgi import Browser
from tests.house.console import PASSWORD, ConsoleHouse, console_house

FORM = {"name": "Acme & Sons", "address": "Ann@acme.test", "language": "it"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path, signup=True, trial_hourly=100) as house:
        yield house


async def signed_up(house: ConsoleHouse, **form: str) -> str:
    """Return the path that the mail leads to."""
    assert (await house.browser().post("/signup", {**FORM, **form})).to == "/signup?done=signed-up"
    await house.settle()
    order, path = house.post.sent[-1]
    assert order.kind == "signup"
    return path


async def count(house: ConsoleHouse, table: object) -> int:
    async with house.book.reading() as connection:
        return int(await connection.scalar(select(func.count()).select_from(table)) or 0)  # type: ignore[arg-type]


async def test_from_the_form_to_a_customer_on_trial(house: ConsoleHouse) -> None:
    assert 'href="/signup"' in (await house.browser().get("/login")).text
    path = await signed_up(house)
    browser = house.browser("192.0.2.9")
    for _ in range(3):
        assert "ann@acme.test" in (await browser.get(path)).text  # to look at it changes nothing
    assert await count(house, CUSTOMERS) == 0
    chosen = (await browser.post(path, {})).to
    assert chosen.startswith("/link/")
    assert (await browser.post(chosen, {"password": PASSWORD, "again": PASSWORD})).status == 303
    home = (await browser.get("/")).to
    assert re.fullmatch(r"/c/acme-sons-[0-9a-f]{8}", home)
    await house.settle()
    event = house.published(home[3:])
    assert event is not None
    assert (event.name, event.trial) == ("Acme & Sons", Trial(hourly=100))
    page = (await browser.get(f"{home}/licence")).text
    assert '<html lang="it">' in page
    assert "100 messaggi" in page
    for _ in range(2):  # once is all
        assert (await house.browser().get(path)).status == 404
        assert (await house.browser().post(path, {})).status in {404, 409}
    assert await count(house, CUSTOMERS) == 1
    assert [order.kind for order, _ in house.post.sent] == ["signup"]  # no second mail: the password is chosen


async def test_a_link_ends_with_its_day_and_a_second_mail_takes_the_first_ones_place(house: ConsoleHouse) -> None:
    path = await signed_up(house)
    house.clock.advance(DAY)
    assert (await house.browser().get(path)).status == 404
    again = await signed_up(house)
    assert await count(house, SIGNUPS) == 1, "what is over was not forgotten"
    assert (await house.browser().get(again)).status == 200
    wrong = again[:-1] + ("A" if again[-1] != "A" else "B")
    assert (await house.browser().get(wrong)).status == 404


async def test_known_and_unknown_addresses_are_answered_alike_and_too_many_are_as_well(house: ConsoleHouse) -> None:
    await house.customer("acme", owner="known@acme.test")
    before = len(house.post.sent)
    answers = []
    for address in ("known@acme.test", "new@acme.test"):
        for n in range(BY_ADDRESS + 2):
            answer = await house.browser(f"192.0.2.{100 + n}").post("/signup", {**FORM, "address": address})
            answers.append((answer.status, answer.to))
    assert set(answers) == {(303, "/signup?done=signed-up")}
    await house.settle()
    kinds = [order.kind for order, _ in house.post.sent[before:]]
    assert kinds == ["activate"] * BY_ADDRESS + ["signup"] * BY_ADDRESS
    for n in range(BY_CLIENT + 3):
        await house.browser("192.0.2.77").post("/signup", {**FORM, "address": f"n{n}@acme.test"})
    await house.settle()
    assert len(house.post.sent) - before == 2 * BY_ADDRESS + BY_CLIENT
    house.clock.advance(WINDOW + 1)
    await signed_up(house, address="new@acme.test")


async def test_who_got_an_account_meanwhile_becomes_no_second_customer(house: ConsoleHouse) -> None:
    path = await signed_up(house)
    await house.customer("globex", owner="ann@acme.test")
    answer = await house.browser().post(path, {})
    assert answer.status == 409
    assert await count(house, CUSTOMERS) == 1
    assert await count(house, ACCOUNTS) == 1


async def test_it_is_closed_unless_it_is_set(tmp_path: Path) -> None:
    async with console_house(tmp_path) as house:
        assert (await house.browser().get("/signup")).status == 404
        assert (await house.browser().post("/signup", FORM)).status in {404, 405}
        assert "/signup" not in (await house.browser().get("/login")).text


async def test_mails_to_strangers_are_accepted_mail_with_a_link_of_their_own(house: ConsoleHouse) -> None:
    store = MemoryStore()
    owner = await claimed(house)
    path = house.mail_path(store)
    outbox = Outbox(house.book, house.bus, path, "one")
    await house.browser().post("/signup", FORM)
    await owner.fill("/c/acme/domains/new.test", {"action": "mail-proof", "local": "hostmaster"})
    while await outbox.turn():
        pass
    events = [event for event in house.bus.events(RECEIVED) if isinstance(event, Received)][-2:]
    assert {(event.customer, event.envelope.recipients, event.own) for event in events} == {
        (OPERATORS, ("ann@acme.test",), "account"),
        ("acme", ("hostmaster@new.test",), "account"),
    }
    bodies = b"".join(store.objects[event.key] for event in events)
    assert re.search(rb"https://console\.test/signup/\w{26}_[\w-]{43}", bodies)
    assert re.search(rb"https://console\.test/prove/\w{26}_[\w-]{43}", bodies)
    async with house.book.reading() as connection:
        for table in ACCOUNTS.metadata.tables.values():
            rows = repr((await connection.execute(select(table))).all())
            for secret in re.findall(rb"https://console\.test/(?:signup|prove)/\w{26}_([\w-]{43})", bodies):
                assert secret.decode() not in rows


# --- a domain proved by mail


async def claimed(house: ConsoleHouse, customer: str = "acme") -> Browser:
    await house.customer(customer)
    owner = await house.person(Role.OWNER, customer)
    await owner.fill(f"/c/{customer}/domains", {"name": "new.test"})
    await house.settle()
    return owner


async def mailed(house: ConsoleHouse, owner: Browser, customer: str = "acme", **form: str) -> str:
    answer = await owner.fill(
        f"/c/{customer}/domains/new.test", {"action": "mail-proof", "local": "postmaster", **form}
    )
    assert answer.to.endswith("?done=proof-mailed"), answer.text
    await house.settle()
    return house.post.sent[-1][1]


async def test_who_reads_the_domains_mail_proves_it_by_a_button(house: ConsoleHouse) -> None:
    owner = await claimed(house)
    path = await mailed(house, owner)
    reader = house.browser("198.51.100.7")  # nobody who has an account
    assert "new.test" in (await reader.get(path)).text
    assert "_gatepost.new.test" in (await owner.get("/c/acme/domains/new.test")).text  # looking proves nothing
    assert "new.test is proved" in (await reader.post(path, {})).text
    assert "Proved." in (await owner.get("/c/acme/domains/new.test")).text
    assert (await reader.post(path, {})).status in {404, 409}
    assert "postmaster@new.test" in (await owner.get("/c/acme/audit")).text


async def test_only_the_first_of_two_who_claim_it_gets_it_and_no_other_address_will_do(house: ConsoleHouse) -> None:
    one, two = await claimed(house), await claimed(house, "globex")
    first, second = await mailed(house, one), await mailed(house, two, "globex", local="admin")
    assert (await one.fill("/c/acme/domains/new.test", {"action": "mail-proof", "local": "sales"})).status == 409
    assert (await two.fill("/c/globex/domains/other.test", {"action": "mail-proof", "local": "admin"})).status in {
        403,
        404,
    }
    assert "globex" in (await house.browser().get(second)).text
    assert (await house.browser().post(second, {})).status == 200
    answer = await house.browser().post(first, {})
    assert answer.status == 409
    assert "another customer" in answer.text
    assert (await two.fill("/c/globex/domains/new.test", {"action": "mail-proof", "local": "admin"})).status in {
        403,
        404,
    }


async def test_a_domain_is_not_flooded_and_a_claim_that_was_let_go_proves_nothing(house: ConsoleHouse) -> None:
    owner = await claimed(house)
    path = [await mailed(house, owner) for _ in range(BY_DOMAIN)][-1]
    more = await owner.fill("/c/acme/domains/new.test", {"action": "mail-proof", "local": "admin"})
    assert more.status == 409
    assert "wait a quarter of an hour" in more.text
    await owner.fill("/c/acme/domains/new.test", {"action": "remove"})
    assert (await house.browser().post(path, {})).status == 409


# --- whose mail is filtered


async def test_a_trial_is_limited_to_addresses_of_ones_own_and_ends_with_the_first_key(house: ConsoleHouse) -> None:
    owner = await claimed(house)
    await house.browser().post(await mailed(house, owner), {})
    await owner.fill(
        "/c/acme/domains/new.test",
        {"action": "route", "relay": "198.41.0.4", "tls": "", "recipients": "any"},
    )
    page = "/c/acme/licence"
    for bad in ("ann@elsewhere.test", "@elsewhere.test", "not an address", "@"):
        assert (await owner.fill(page, {"action": "trial", "recipients": bad})).status == 409, bad
    scope = {"action": "trial", "recipients": "Ann@NEW.test\nann@new.test @new.test"}
    assert (await owner.fill(page, scope)).to == f"{page}?done=trial-limited"
    await house.settle()
    event = house.published("acme")
    assert event is not None
    assert event.trial == Trial(recipients=("ann@new.test", "@new.test"), hourly=100)
    until = house.clock.now() + 365 * DAY
    terms = Terms(id="01K", customer="acme", users=9, since=house.clock.now(), until=until)
    assert (await owner.fill(page, {"key": issue_key(house.licences, terms)})).status == 303
    await house.settle()
    event = house.published("acme")
    assert event is not None
    assert event.trial == Trial()
    assert (await owner.fill(page, {"action": "trial", "recipients": ""})).status == 409
