"""The users' console: who sees what, who may do what, and the ways in, attacked. Everything but the network is real."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from schemas.catalog import COMMANDS, REQUESTS, SENDERS
from schemas.events import Disposition, LdapSource, QuarantineCommand, QuarantineRequest, SenderEntry, Status
from services.console.book import Author
from services.console.roles import Role
from services.console.sessions import IDLE, SESSION_MOST
from services.console.tables import AUDIT, DOMAINS
from services.console.throttle import WINDOW
from services.console.users.decide import Person
from services.console.users.links import SECONDS
from services.console.users.people import add, set_members
from services.console.users.tables import HAND, USER_LINKS, USER_SESSIONS, USERS, Kind
from services.core.asked import Entry
from services.core.directory import recipient_digest
from services.quarantine.links import Link, sign
from services.quarantine.passes import SECONDS as SECONDS_OF_PASS
from services.quarantine.passes import Pass, issue, pass_key
from tests.house.asgi import Browser
from tests.house.console import PASSWORD
from tests.house.users import DIGEST, KEY, UsersHouse, users_house

ANNA, ALIAS, BOB, EVE = "anna@acme.test", "a.rossi@acme.test", "bob@acme.test", "eve@globex.test"
NOTHING = "01K8Z4N5QJ3M8V7T2R6XW9YB0C"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[UsersHouse]:
    async with users_house(tmp_path) as house:
        yield house


# --- held mail


async def test_a_user_sees_what_is_held_for_his_addresses_newest_first(house: UsersHouse) -> None:
    anna = await house.signed_in("acme", ANNA, ALIAS)
    first = await house.hold("acme", ANNA, BOB, subject="first")
    house.clock.advance(5)
    second = await house.hold("acme", "A.Rossi@acme.test", subject="second")
    await house.hold("acme", BOB, subject="not hers")
    await house.hold("globex", EVE, subject="another customer's")
    page = (await anna.get("/")).text
    assert re.findall(r'href="/held/(\w+)"', page) == [second, first]
    assert BOB not in page
    assert "not hers" not in page
    found = (await anna.get("/?subject=fir")).text
    assert re.findall(r'href="/held/(\w+)"', found) == [first]
    assert re.findall(r'href="/held/(\w+)"', (await anna.get("/?recipient=a.rossi%40acme.test")).text) == [second]


async def test_a_message_is_shown_and_its_text_stands_alone(house: UsersHouse) -> None:
    anna = await house.signed_in("acme", ANNA)
    message = await house.hold("acme", ANNA, BOB, subject="<b>offer")
    page = await anna.get(f"/held/{message}")
    assert page.status == 200
    assert "&lt;b&gt;offer" in page.text
    assert BOB not in page.text
    assert 'sandbox=""' in page.text
    assert "Only" not in page.text  # what a stranger wrote is not in the console's own document
    framed = await anna.get(f"/held/{message}/text")
    assert "Only" in framed.text
    assert not re.search(r"script|onclick|href", framed.text)
    policy = framed.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none';")
    assert "frame-ancestors 'self'" in policy
    assert framed.headers["x-frame-options"] == "SAMEORIGIN"
    assert "sandbox" not in page.headers["content-security-policy"]


async def test_release_delete_and_report_act_for_his_addresses_alone(house: UsersHouse) -> None:
    anna = await house.signed_in("acme", ANNA, ALIAS)
    message = await house.hold("acme", ANNA, ALIAS, BOB)
    assert (await anna.fill(f"/held/{message}", {"action": "spam", "remember": "yes"})).to.endswith("done=held-spam")
    assert (await anna.fill(f"/held/{message}", {"action": "release"})).to.endswith("done=held-release")
    (command,) = house.console.bus.events(COMMANDS)
    assert isinstance(command, QuarantineCommand)
    assert (set(command.recipients), command.by, command.customer) == ({ANNA, ALIAS}, f"{ANNA} (user)", "acme")
    made = await house.carry_out()
    assert await house.states(message) == {ANNA: "released", ALIAS: "released", BOB: "held"}
    assert {r for each in made if isinstance(each, Disposition) for b in each.branches for r in b.recipients} == {
        ANNA,
        ALIAS,
    }
    entries = [each for each in house.console.bus.events(SENDERS) if isinstance(each, SenderEntry)]
    salt = house.console.published("acme").salt  # type: ignore[union-attr]
    assert {(each.whom, each.sender, each.approved) for each in entries} == {
        (recipient_digest(salt, address), "carla@sender.test", False) for address in (ANNA, ALIAS)
    }
    other = await house.hold("acme", ANNA, BOB)
    assert (await anna.fill("/", {"message": [other], "action": "delete"})).to == "/?done=held-delete"
    await house.carry_out()
    assert await house.states(other) == {ANNA: "deleted", BOB: "held"}


@pytest.mark.parametrize(
    ("plan", "status", "free"),
    [
        ("all", Status.VIRUS, True),
        ("spam", Status.SPAM, True),
        ("spam", Status.PHISHING, False),
        ("spam", Status.UNAVAILABLE, False),
        ("none", Status.SPAM, False),
    ],
)
async def test_what_policy_does_not_let_him_release_he_asks_for(
    house: UsersHouse, plan: str, status: Status, free: bool
) -> None:
    await house.domain("acme", "alt.test", users_release=plan)
    anna = await house.signed_in("acme", ANNA)
    message = await house.hold("acme", ANNA, BOB, status=status)
    page = (await anna.get(f"/held/{message}")).text
    assert ("Ask for delivery" in page) is not free
    answer = await anna.fill(f"/held/{message}", {"action": "release"})
    assert answer.to.endswith("done=held-release" if free else "done=held-ask")
    await house.carry_out()
    assert (await house.states(message))[ANNA] == ("released" if free else "held")
    assert await house.reported(message) == {ANNA: "" if free else "wanted", BOB: ""}
    if not free:
        (asked,) = house.console.bus.events(REQUESTS)
        assert isinstance(asked, QuarantineRequest)
        assert asked.wanted
        assert "asked for delivery" in (await anna.get("/")).text


async def test_who_decides_is_told_once_an_hour(house: UsersHouse) -> None:
    await house.domain("acme", "alt.test", users_release="none")
    await house.console.person(Role.HELPDESK, "acme")
    await house.console.person(Role.AUDITOR, "acme")
    anna = await house.signed_in("acme", ANNA)

    async def told() -> list[str]:
        for _ in range(2):
            message = await house.hold("acme", ANNA)
            assert (await anna.fill(f"/held/{message}", {"action": "release"})).to.endswith("done=held-ask")
        await house.console.settle()
        return [order.kind for order, _ in house.console.post.sent if order.kind == "wanted"]

    assert len(await told()) == 2  # the owner and the help desk
    house.clock.advance(1000)
    assert len(await told()) == 2
    house.clock.advance(2700)
    await anna.post("/login", {"address": ANNA, "password": PASSWORD})
    assert len(await told()) == 4


# --- nobody else's


async def everything(browser: Browser, message: str, address: str) -> list[int]:
    """Try every operation on somebody's message and addresses; return the statuses, as the pages answer."""
    entry = {"sender": "x@y.test", "for": address}
    return [
        (await browser.get(f"/held/{message}")).status,
        (await browser.get(f"/held/{message}/text")).status,
        *[
            (await browser.fill_from("/settings", f"/held/{message}", {"action": action})).status
            for action in ("release", "delete", "clean", "spam")
        ],
        *[
            (await browser.fill_from("/settings", "/senders", {**entry, "action": action})).status
            for action in ("approved", "blocked", "remove")
        ],
    ]


async def test_every_operation_on_anothers_mail_is_not_there(house: UsersHouse) -> None:
    message = await house.hold("acme", ANNA)
    sent = len(house.console.bus.events(COMMANDS)), len(house.console.bus.events(REQUESTS))
    lists = len(house.console.bus.events(SENDERS))
    for customer, address in (("acme", BOB), ("globex", EVE), ("globex", "anna@globex.test")):
        other = await house.signed_in(customer, address)
        assert set(await everything(other, message, ANNA)) == {404}, address
        assert set(await everything(other, NOTHING, "nobody@acme.test")) == {404}, address
        assert message not in (await other.get("/?everything=yes&recipient=anna")).text
        # A list of several: what isn't his is passed over, and nothing happens.
        assert (await other.fill_from("/settings", "/", {"message": [message], "action": "release"})).status == 303
    assert (len(house.console.bus.events(COMMANDS)), len(house.console.bus.events(REQUESTS))) == sent
    assert len(house.console.bus.events(SENDERS)) == lists
    assert await house.states(message) == {ANNA: "held"}


async def test_without_a_session_there_is_only_the_way_in(house: UsersHouse) -> None:
    message = await house.hold("acme", ANNA)
    nobody = house.browser()
    for path in ("/", f"/held/{message}", f"/held/{message}/text", "/senders", "/settings"):
        assert (await nobody.get(path)).to == "/login", path
        if not path.endswith("text"):
            assert (await nobody.post(path, {"action": "release", "message": message})).to == "/login", path
    for path in ("/login", "/forgot", f"/link/{NOTHING}_x"):
        assert (await nobody.get(path)).status in {200, 404}


async def test_a_session_of_the_administrators_console_opens_nothing_here_nor_the_other_way_round(
    house: UsersHouse,
) -> None:
    anna = await house.signed_in("acme", ANNA)
    (cookie,) = anna.cookies.values()
    admin = house.console.browser()
    admin.cookies["__Host-gatepost"] = cookie
    assert (await admin.get("/me")).to == "/login"
    assert anna.cookies.keys() == {"__Host-gatepost-users"}


async def test_a_group_shows_its_mail_to_its_members_and_no_longer(house: UsersHouse) -> None:
    anna = await house.signed_in("acme", ANNA)
    async with house.console.book.change(Author("test")) as change:
        group = Person(address="info@acme.test", kind=Kind.GROUP)
        (identity,) = await add(change, "acme", [group], HAND)
        await set_members(change, "acme", identity, [ANNA])
    message = await house.hold("acme", "info@acme.test")
    assert (await anna.get(f"/held/{message}")).status == 200
    async with house.console.book.change(Author("test")) as change:
        await set_members(change, "acme", identity, [])
    assert (await anna.get(f"/held/{message}")).status == 404


async def test_an_address_goes_with_its_domain_to_another_customer(house: UsersHouse) -> None:
    anna = await house.signed_in("acme", ANNA)
    async with house.console.book.change(Author("test")) as change:
        await change.hold("acme")
        await change.hold("globex")
        mine = DOMAINS.c.name == "acme.test"
        await change.connection.execute(update(DOMAINS).where(mine).values(customer="globex", place=1))
        for customer in ("acme", "globex"):
            await change.publish(customer)
        await change.note("acme", "test", "acme.test")
    await house.console.settle()
    assert (await anna.get("/")).to == "/login"
    form = {"address": ANNA, "password": PASSWORD}
    assert (await house.browser().post("/login", form)).status == 409


# --- the way in


async def test_the_link_works_once_for_its_own_address_and_ends_every_session(house: UsersHouse) -> None:
    user = await house.person("acme", ANNA, ALIAS)
    await house.person("acme", BOB)
    link, second = await house.link(user), await house.link(user)
    browser = house.browser()
    assert ANNA not in (await browser.get(f"/link/{link}")).text  # who found the mail may not know it
    form = {"address": BOB, "password": PASSWORD, "again": PASSWORD}
    assert (await browser.post(f"/link/{link}", form)).status == 409
    assert (await browser.post(f"/link/{link}", {**form, "address": ALIAS, "again": "x"})).status == 409
    assert (
        await browser.post(f"/link/{link}", {**form, "address": ALIAS, "password": "short", "again": "short"})
    ).status == 409
    assert (await browser.post(f"/link/{link}", {**form, "address": ALIAS})).to == "/?done=password-set"
    for used in (link, second):
        assert (await browser.get(f"/link/{used}")).status == 404
        assert (await browser.post(f"/link/{used}", {**form, "address": ANNA})).status in {404, 409}
    again = await house.link(user)
    assert (await house.browser().post(f"/link/{again}", {**form, "address": ANNA})).status == 303
    assert (await browser.get("/")).to == "/login"
    house.clock.advance(1)
    stored = await house.link(user)
    async with house.console.book.reading() as connection:
        hashes = [bytes(row.hash) for row in await connection.execute(select(USER_LINKS))]
    assert not any(stored.split("_", 1)[1].encode() in each for each in hashes)
    house.clock.advance(SECONDS["user-activate"] + 1)
    assert (await browser.get(f"/link/{stored}")).status == 404


async def test_a_link_does_not_let_addresses_be_guessed_for_ever(house: UsersHouse) -> None:
    link = await house.link(await house.person("acme", ANNA))
    form = {"password": PASSWORD, "again": PASSWORD}
    for number in range(8):
        await house.browser(f"192.0.2.{number}").post(f"/link/{link}", {**form, "address": f"x{number}@acme.test"})
    assert (await house.browser("192.0.2.99").post(f"/link/{link}", {**form, "address": ANNA})).status == 409
    house.clock.advance(WINDOW + 1)
    assert (await house.browser("192.0.2.99").post(f"/link/{link}", {**form, "address": ANNA})).status == 303


async def test_known_and_unknown_get_the_same_answers_and_times_and_soon_wait(house: UsersHouse) -> None:
    await house.signed_in("acme", ANNA)
    house.console.people.entries["main"] = [Entry(id="b", addresses=("lea@ldap.test",))]
    answers = []
    for address in (ANNA, "nobody@acme.test", "nobody@nowhere.test", "rubbish", "owner@acme.test"):
        for _ in range(9):
            form = {"address": address, "password": "not this one at all"}
            answer = await house.browser().post("/login", form)
            answers.append((answer.status, re.sub(r'value="[^"]*"', "", answer.text)))
    texts = {text for _, text in answers}
    assert {status for status, _ in answers} == {409}
    assert len(texts) == 2  # wrong, and wait
    waits = max(texts, key=lambda text: "Too many" in text)
    assert [text == waits for _, text in answers] == ([False] * 8 + [True]) * 5
    assert len(house.paused) == len(answers)
    assert set(house.paused) == {1.0}  # whatever it was that failed
    assert (await house.browser().post("/login", {"address": ANNA, "password": PASSWORD})).status == 409
    house.clock.advance(WINDOW + 1)
    assert (await house.browser().post("/login", {"address": ANNA, "password": PASSWORD})).status == 303


async def test_forgot_tells_nothing_and_sends_only_to_users(house: UsersHouse) -> None:
    await house.signed_in("acme", ANNA)
    await house.person("acme", BOB)
    answers = set()
    for address in (ANNA, BOB, "nobody@acme.test", "rubbish"):
        answer = await house.browser().post("/forgot", {"address": address})
        answers.add((answer.status, answer.to))
    assert answers == {(303, "/forgot?done=link-on-its-way")}
    await house.console.settle()
    assert [order.kind for order, _ in house.console.post.sent[-2:]] == ["user-reset", "user-activate"]


async def test_forms_from_elsewhere_and_without_the_token_do_nothing(house: UsersHouse) -> None:
    anna = await house.signed_in("acme", ANNA)
    message = await house.hold("acme", ANNA)
    for form, headers in (
        ({"action": "release"}, {}),
        ({"action": "release", "csrf": "0" * 32}, {}),
        ({"action": "release"}, {"origin": "https://evil.test"}),
        ({"action": "release"}, {"sec_fetch_site": "cross-site"}),
    ):
        assert (await anna.post(f"/held/{message}", form, **headers)).status == 403
    assert house.console.bus.events(COMMANDS) == []
    anna_page = await anna.get("/")
    assert "script" not in anna_page.headers["content-security-policy"]
    assert "default-src 'none'" in anna_page.headers["content-security-policy"]
    assert anna_page.headers["cache-control"] == "no-store"


async def test_a_session_ends_by_rest_by_age_when_closed_and_by_its_owner_alone(house: UsersHouse) -> None:
    anna, bob = await house.signed_in("acme", ANNA), await house.signed_in("acme", BOB)
    (session,) = anna.cookies.values()
    await bob.fill("/settings", {"action": "end", "session": session[:26]})
    assert (await anna.get("/")).status == 200
    house.clock.advance(IDLE + 1)
    assert (await anna.get("/")).to == "/login"
    anna = house.browser()
    await anna.post("/login", {"address": ANNA, "password": PASSWORD})
    for _ in range(int(SESSION_MOST / (IDLE - 60)) + 1):
        house.clock.advance(IDLE - 60)
        last = (await anna.get("/")).status
    assert last == 303
    await anna.post("/login", {"address": ANNA, "password": PASSWORD})
    async with house.console.book.database.writing() as connection:
        await connection.execute(update(USERS).where(USERS.c.address == ANNA).values(closed_at=1.0))
    assert (await anna.get("/")).to == "/login"
    assert (await house.browser().post("/login", {"address": ANNA, "password": PASSWORD})).status == 409


async def test_what_is_stored_and_audited_holds_no_secret(house: UsersHouse) -> None:
    anna = await house.signed_in("acme", ANNA)
    (cookie,) = anna.cookies.values()
    async with house.console.book.reading() as connection:
        stored = [
            repr(tuple(row))
            for table in (USERS, USER_SESSIONS, AUDIT)
            for row in await connection.execute(select(table))
        ]
    assert not any(PASSWORD in row or cookie.split("_")[1] in row for row in stored)
    assert any("user-password-set" in row for row in stored)


# --- by the directory


@pytest.fixture
async def ldap(house: UsersHouse) -> UsersHouse:
    await house.domain("acme", "ldap.test", directory=(LdapSource(name="main", url="ldaps://l.test", base="dc=l"),))
    house.console.people.entries["main"] = [
        Entry(id="e1", addresses=("lea@ldap.test", "l.bianchi@ldap.test", "lea@elsewhere.test"), name="Lea Bianchi")
    ]
    house.console.people.passwords["e1"] = "her directory's"
    return house


async def test_a_user_of_the_directory_signs_in_with_its_password_and_sees_his_aliases(ldap: UsersHouse) -> None:
    message = await ldap.hold("acme", "l.bianchi@ldap.test")
    lea = ldap.browser()
    assert (await lea.post("/login", {"address": "lea@ldap.test", "password": "wrong"})).status == 409
    assert (await lea.post("/login", {"address": "lea@ldap.test", "password": ""})).status == 409
    assert (await lea.post("/login", {"address": "lea@ldap.test", "password": "her directory's"})).status == 303
    page = (await lea.get("/")).text
    assert message in page
    assert "elsewhere" not in (await lea.get("/settings")).text
    asked = len(ldap.console.people.asked)
    assert (await ldap.browser().post("/login", {"address": "nobody@ldap.test", "password": "x"})).status == 409
    assert len(ldap.console.people.asked) == asked + 1  # an unknown address costs the same question
    await ldap.browser().post("/forgot", {"address": "lea@ldap.test"})
    await ldap.console.settle()
    assert all(order.kind == "activate" for order, _ in ldap.console.post.sent)  # her password is the directory's


async def test_a_directory_that_is_away_says_so_and_a_password_of_ours_still_works(ldap: UsersHouse) -> None:
    anna = await ldap.signed_in("acme", ANNA)
    del anna
    ldap.console.people.down = True
    assert (await ldap.browser().post("/login", {"address": ANNA, "password": PASSWORD})).status == 303
    answers = [
        await ldap.browser().post("/login", {"address": address, "password": "wrong"})
        for address in (ANNA, "nobody@acme.test")
    ]
    assert all("does not answer" in answer.text for answer in answers)


async def test_who_was_closed_by_hand_does_not_come_in_by_the_directory(ldap: UsersHouse) -> None:
    form = {"address": "lea@ldap.test", "password": "her directory's"}
    assert (await ldap.browser().post("/login", form)).status == 303
    async with ldap.console.book.database.writing() as connection:
        await connection.execute(update(USERS).where(USERS.c.address == "lea@ldap.test").values(closed_at=1.0))
    assert (await ldap.browser().post("/login", form)).status == 409


# --- lists and choices


async def test_his_lists_are_his_and_his_organisations_are_shown(house: UsersHouse) -> None:
    anna = await house.signed_in("acme", ANNA, ALIAS)
    assert (await anna.fill("/senders", {"sender": "News@Shop.test", "for": "", "action": "approved"})).status == 303
    entries = [each for each in house.console.bus.events(SENDERS) if isinstance(each, SenderEntry)]
    assert [(each.sender, each.approved, each.customer) for each in entries] == [("news@shop.test", True, "acme")] * 2
    for entry in entries:
        house.lists.apply(entry)
    house.lists.apply(SenderEntry(customer="acme", whom="*", sender="@all.test", approved=False, by="x", at=1.0))
    house.lists.apply(SenderEntry(customer="globex", whom="*", sender="@other.test", approved=False, by="x", at=1.0))
    bob = recipient_digest(house.console.published("acme").salt, BOB)  # type: ignore[union-attr]
    house.lists.apply(SenderEntry(customer="acme", whom=bob, sender="@bobs.test", approved=False, by="x", at=1.0))
    page = (await anna.get("/senders")).text
    assert page.count("news@shop.test</th>") == 2
    assert "@all.test" in page
    assert "other.test" not in page
    assert "bobs.test" not in page
    assert (await anna.fill("/senders", {"sender": "news@shop.test", "for": ALIAS, "action": "remove"})).status == 303
    assert (await anna.fill("/senders", {"sender": "not an address", "for": "", "action": "approved"})).status == 409


async def test_digest_hours_days_and_language_are_kept_for_all_his_addresses(house: UsersHouse) -> None:
    await house.domain("acme", "alt.test", digest=DIGEST)
    anna = await house.signed_in("acme", ANNA, ALIAS)
    page = (await anna.get("/settings")).text
    assert page.count(" checked") == 1 + 2 + 7
    form: dict[str, str | list[str]] = {"action": "save", "digest": "yes", "language": "it"}
    assert (await anna.fill("/settings", {**form, "hour": [], "day": ["0"]})).status == 409
    assert (await anna.fill("/settings", {**form, "hour": ["13", "99"], "day": ["0", "4"]})).status == 303
    page = (await anna.get("/settings")).text
    assert '<html lang="it">' in page
    assert page.count(" checked") == 1 + 1 + 2
    assert (await anna.fill("/settings", {"action": "save", "language": "it"})).status == 303
    assert (await anna.get("/settings")).text.count(" checked") == 2 + 7


# --- passes


async def test_a_pass_is_good_for_a_minute_for_its_customer_and_addresses_and_can_not_be_made_otherwise(
    house: UsersHouse,
) -> None:
    message = await house.hold("acme", ANNA, BOB)
    now = house.clock.now()

    async def status(text: str, customer: str = "acme", method: str = "GET", path: str = "") -> int:
        program = Browser(house.api, "http://api.test", token=text)
        answer = await program.ask(method, f"/v1/customers/{customer}/messages/{message}{path}", b"", {})
        return answer.status

    key = pass_key(KEY)
    good = issue(key, Pass("acme", (ANNA,), ANNA, now + SECONDS_OF_PASS))
    assert await status(good) == 200
    assert await status(good, "globex") == 404
    assert await status(issue(key, Pass("acme", (EVE,), EVE, now + 60))) == 404
    wrong = (
        good[:-9] + ("A" if good[-9] != "A" else "B") + good[-8:],
        issue(pass_key(bytes(32)), Pass("acme", (ANNA,), ANNA, now + 60)),
        issue(key, Pass("acme", (), ANNA, now + 60)),
        issue(key, Pass("", (ANNA,), ANNA, now + 60)),
        "gpu." + sign(key, Link("acme", message, ANNA, now + 60)),  # signed by us, and for something else
        "gpu.",
        "gpu." + "x" * 30_000,
    )
    for text in wrong * 3:
        assert await status(text) == 401, text[:80]
    assert await status(good) == 200  # all users come from one address: nobody locks the others out
    house.clock.advance(SECONDS_OF_PASS)
    assert await status(good) == 401


async def test_an_administrators_pass_is_for_one_look_into_one_message(house: UsersHouse) -> None:
    one, two = await house.hold("acme", ANNA), await house.hold("acme", ANNA)
    now = house.clock.now()

    def passed(message: str, role: str = "administrator", customer: str = "acme") -> str:
        return issue(pass_key(KEY), Pass(customer, (), "olga", now + SECONDS_OF_PASS, role, message))

    async def status(text: str, path: str, method: str = "GET") -> int:
        program = Browser(house.api, "http://api.test", token=text)
        return (await program.ask(method, f"/v1/customers/acme{path}", b"{}", {})).status

    for role in ("administrator", "helpdesk"):
        assert await status(passed(one, role), f"/messages/{one}/preview") == 200
    for path in (f"/messages/{two}/preview", f"/messages/{one}", "/messages", "/senders"):
        assert await status(passed(one), path) == 403, path
    assert await status(passed(one), f"/messages/{one}/release", "POST") == 403
    assert await status(passed(one, customer="globex"), f"/messages/{one}/preview") == 404
    for wrong in (passed(""), passed(one, "owner"), passed(one, "auditor"), passed(one, "user")):
        assert await status(wrong, f"/messages/{one}/preview") == 401
    house.clock.advance(SECONDS_OF_PASS)
    assert await status(passed(one), f"/messages/{one}/preview") == 401


async def test_the_api_that_is_away_is_said_and_nothing_is_lost(house: UsersHouse) -> None:
    anna = await house.signed_in("acme", ANNA)
    house.api_down = True
    answer = await anna.get("/")
    assert (answer.status, "try again" in answer.text) == (503, True)
    house.api_down = False
    assert (await anna.get("/")).status == 200


async def test_somebody_with_no_end_of_addresses_sees_what_fits(house: UsersHouse) -> None:
    aliases = [f"{number:03}{'x' * 60}@acme.test" for number in range(290)]
    anna = await house.signed_in("acme", ANNA, *aliases)
    message = await house.hold("acme", ANNA)
    assert message in (await anna.get("/")).text
