"""Users who come in by their customer's own provider: whom it lets in, whom it makes, and what it can't."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from joserfc import jwk
from sqlalchemy import select

from schemas.events import Recipient
from services.console.caller import Caller
from services.console.models_signin import Provider as ProviderBody
from services.console.models_signin import UsersSignOn
from services.console.outward import Https
from services.console.roles import Role
from services.console.tables import AUDIT, SIGNON
from services.console.users.models import EndUserChange, NewEndUser
from services.console.users.tables import USERS as TABLE
from services.core.directory import recipient_digest
from tests.house.asgi import Answer, Browser
from tests.house.console import USERS
from tests.house.oidc import CLIENT, SECRET, InProcess, Provider
from tests.house.users import UsersHouse, users_house

ISSUER = "https://login.acme.test"
OWNER = Caller(account="o", customer="acme", role=Role.OWNER, address="o@acme.test")


class Place:
    def __init__(self, house: UsersHouse, provider: Provider) -> None:
        self.house = house
        self.provider = provider

    async def set(self, users: UsersSignOn, customer: str = "acme") -> None:
        body = ProviderBody(issuer=ISSUER, client=CLIENT, secret=SECRET, users=users)
        caller = Caller(account="o", customer=customer, role=Role.OWNER, address=f"o@{customer}.test")
        await self.house.console.desk.signon.set_provider(caller, customer=customer, body=body)

    async def sent(self, browser: Browser, said: str = "ann@acme.test") -> str:
        """Return the path to which the provider sends the browser back."""
        begun = await browser.post("/sso", {"organisation": said})
        assert begun.status == 303, begun.text
        assert f"{begun.to}/start" in (await browser.get(begun.to)).text
        there = await browser.get(f"{begun.to}/start")
        assert there.to.startswith(f"{ISSUER}/authorize?"), there.text
        back = await Browser(self.provider.app, ISSUER).get(there.to.removeprefix(ISSUER))
        assert back.to.startswith(f"{USERS}/sso-callback?")
        return back.to.removeprefix(USERS)

    async def walk(self, browser: Browser | None = None, said: str = "ann@acme.test") -> Answer:
        browser = browser or self.house.browser()
        return await browser.get(await self.sent(browser, said))

    async def refused(self, said: str = "There is no account") -> None:
        answer = await self.walk()
        assert (answer.status, said in answer.text) == (409, True), answer.text
        assert "gatepost-users=" not in answer.headers.get("set-cookie", "")

    async def people(self) -> list[tuple[str, str]]:
        async with self.house.console.book.reading() as connection:
            asked = select(TABLE.c.address, TABLE.c.source).order_by(TABLE.c.address)
            return [(row.address, row.source) for row in await connection.execute(asked)]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with users_house(tmp_path) as house:
        provider = Provider(ISSUER, house.clock.now)
        house.signon.flow.outward = InProcess(provider)
        house.console.desk.signon_in.flow.outward = InProcess(provider)
        yield Place(house, provider)


async def test_a_user_comes_in_by_any_of_his_addresses_and_sees_his_own_mail(place: Place) -> None:
    await place.set("known")
    user = await place.house.person("acme", "anna@acme.test", "ann@acme.test")
    await place.house.hold("acme", "ann@acme.test", subject="for ann")
    await place.house.hold("acme", "bob@acme.test", subject="for bob")
    browser = place.house.browser()
    assert (await place.walk(browser)).to == "/"
    page = (await browser.get("/")).text
    assert ("for ann" in page, "for bob" in page, "anna@acme.test" in page) == (True, False, True)
    assert f"{ISSUER}/token" in place.provider.asked
    async with place.house.console.book.reading() as connection:
        dumped = repr([tuple(row) for table in (AUDIT, SIGNON) for row in await connection.execute(select(table))])
    assert '{"by":"single sign-on"}' in dumped
    assert SECRET not in dumped

    for closed, status in ((True, 409), (False, 303)):
        change = EndUserChange(closed=closed)
        await place.house.console.desk.users.change_user(OWNER, customer="acme", user=user, body=change)
        assert (await place.walk()).status == status


async def test_who_is_not_there_is_made_when_the_setting_or_the_directory_says_so(place: Place) -> None:
    await place.set("known")
    await place.refused()
    customer, domain = place.house.console.directory.lookup_domain("acme.test") or (None, None)
    assert customer is not None
    assert domain is not None
    assert domain.any_recipient  # of such a domain the directory says nothing
    body = NewEndUser(address="team@acme.test", kind="group", invite=False)
    await place.house.console.desk.users.add_user(OWNER, customer="acme", body=body)
    await place.set("all")
    place.provider.user["email"] = "team@acme.test"
    await place.refused()  # a group is nobody
    place.provider.user["email"] = "Ann@Acme.test"
    browser = place.house.browser()
    assert (await place.walk(browser)).to == "/"
    assert ("ann@acme.test", "provider") in await place.people()
    assert "ann@acme.test" in (await browser.get("/")).text
    await place.house.browser().post("/forgot", {"address": "ann@acme.test"})
    await place.house.console.settle()
    assert "user-activate" not in [order.kind for order, _ in place.house.console.post.sent]  # it is the provider's


async def test_the_directory_says_who_there_is_where_it_does(place: Place) -> None:
    await place.set("known")
    house = place.house.console
    house.directory.apply(
        Recipient(customer="acme", digest=recipient_digest(_salt(place), "ann@acme.test"), source="ldap:x")
    )
    known = house.directory.customer("acme")
    assert known is not None
    strict = tuple(msgspec.structs.replace(domain, any_recipient=False) for domain in known.domains)
    house.directory.apply(msgspec.structs.replace(known, domains=strict))
    place.provider.user["email"] = "zoe@acme.test"
    await place.refused()
    place.provider.user["email"] = "ann@acme.test"
    assert (await place.walk()).to == "/"


@pytest.mark.parametrize("address", ["zoe@globex.test", "zoe@elsewhere.test", "not an address"])
async def test_no_provider_lets_in_anybody_of_another_customers(place: Place, address: str) -> None:
    await place.set("all")
    await place.house.person("globex", "zoe@globex.test")
    place.provider.user["email"] = address
    answer = await place.walk()
    assert (answer.status, "gatepost-users=" in answer.headers.get("set-cookie", "")) == (409, False)
    place.provider.user.update(email="ann@acme.test", email_verified=False)
    await place.refused("does not vouch for your e-mail address")


async def test_a_provider_is_for_users_only_where_its_owner_says_so(place: Place) -> None:
    await place.set("")
    browser = place.house.browser()
    refused = await browser.post("/sso", {"organisation": "acme"})
    assert refused.status == 409
    assert (await browser.get("/sso/acme/start")).status == 409
    await place.set("all")
    back = await place.sent(browser)
    await place.set("")  # while he was there
    assert (await browser.get(back)).status == 409


async def test_a_provider_in_our_own_network_is_not_asked(place: Place) -> None:
    await place.set("all")
    dns = place.house.console.dns
    place.house.signon.flow.outward = Https(lambda: dns)
    for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254"):
        dns.zone["login.acme.test", "A"] = (address,)
        refused = await place.house.browser().get("/sso/acme/start")
        assert (refused.status, "gave no answer that can be used" in refused.text) == (409, True)


async def test_an_answer_counts_once_in_its_browser_and_on_its_side_alone(place: Place) -> None:
    await place.set("all")
    browser = place.house.browser()
    back = await place.sent(browser)
    assert (await place.house.browser().get(back)).status == 409  # another browser
    # What the users' console has asked, the administrators' takes no answer to, and the step is no step there.
    admin = place.house.console.browser()
    admin.cookies["__Host-gatepost-step"] = browser.cookies["__Host-gatepost-users-step"]
    assert (await admin.get(back)).status == 409
    assert (await browser.get(back)).to == "/"
    assert (await browser.get(back)).status == 409
    place.provider.signing = jwk.ECKey.generate_key("P-256", {"kid": "one"})
    await place.refused("gave no answer that can be used")


def _salt(place: Place) -> str:
    known = place.house.console.directory.customer("acme")
    assert known is not None
    return known.salt
