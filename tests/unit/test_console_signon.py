"""Single sign-on at a provider whose tokens are really signed; and what is wrong with tokens, addresses, answers."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwk
from sqlalchemy import select

from services.console import models
from services.console.caller import Caller
from services.console.models_signin import Provider as ProviderBody
from services.console.oidc import BadProvider, Discovery, identity_of, read_discovery
from services.console.outward import url_problem
from services.console.roles import Role
from services.console.steps import SECONDS
from services.console.tables import ACCOUNTS, AUDIT, DOMAINS, SIGNON
from tests.house.asgi import Answer, Browser
from tests.house.console import OPERATOR, ConsoleHouse, console_house
from tests.house.oidc import CLIENT, SECRET, InProcess, Provider

ISSUER = "https://login.acme.test"
OWNER = Caller(account="o", customer="acme", role=Role.OWNER, address="o@acme.test")


class Place:
    def __init__(self, house: ConsoleHouse, provider: Provider) -> None:
        self.house = house
        self.provider = provider

    async def set(self, role: Role | None = None, **changed: str) -> None:
        tree = {"issuer": ISSUER, "client": CLIENT, "secret": SECRET, "role": role, **changed}
        body = ProviderBody.model_validate(tree)
        await self.house.desk.signon.set_provider(OWNER, customer="acme", body=body)

    async def sent(self, browser: Browser) -> str:
        """Return the address to which the provider sends the browser back."""
        begun = await browser.post("/sso", {"organisation": "ann@acme.test"})
        assert begun.to == "/sso/acme"
        assert "/sso/acme/start" in (await browser.get(begun.to)).text
        there = await browser.get("/sso/acme/start")
        assert there.status == 303, there.text
        assert there.to.startswith(f"{ISSUER}/authorize?")
        back = await Browser(self.provider.app, ISSUER).get(there.to.removeprefix(ISSUER))
        return back.to.removeprefix(self.house.config.base)

    async def walk(self, browser: Browser | None = None) -> Answer:
        browser = browser or self.house.browser()
        return await browser.get(await self.sent(browser))

    async def fails(self, said: str = "gave no answer that can be used") -> None:
        answer = await self.walk()
        assert (answer.status, said in answer.text) == (409, True), answer.text
        assert "__Host-gatepost=" not in answer.headers.get("set-cookie", "")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with console_house(tmp_path) as house:
        provider = Provider(ISSUER, house.clock.now)
        house.desk.signon_in.flow.outward = InProcess(provider)  # the house is made without one
        await house.customer("acme")
        await house.customer("globex")
        place = Place(house, provider)
        async with house.book.database.writing() as connection:
            row = {"name": "acme.test", "customer": "acme", "place": 0, "spec": "{}", "made_at": 1.0}
            await connection.execute(DOMAINS.insert(), [{**row, "spec": '{"name":"acme.test","relay":[]}'}])
        yield place


async def test_somebody_with_an_account_comes_in_and_the_audit_log_says_how(place: Place) -> None:
    await place.set()
    await place.house.person(Role.HELPDESK, address="ann@acme.test")
    browser = place.house.browser()
    assert (await place.walk(browser)).to == "/"
    assert "ann@acme.test" in (await browser.get("/c/acme")).text
    place.provider.user["email"] = "ANN@Acme.test"
    assert (await place.walk()).to == "/"
    async with place.house.book.reading() as connection:
        dumped = repr([(await connection.execute(select(table))).all() for table in (AUDIT, SIGNON)])
    assert '{"by":"single sign-on"}' in dumped
    assert "provider-set" in dumped
    assert SECRET not in dumped


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("another issuer", lambda p: p.claims.update(iss="https://login.evil.test")),
        ("for another client", lambda p: p.claims.update(aud="other")),
        ("for others too", lambda p: p.claims.update(aud=[CLIENT, "other"])),
        ("authorised for another", lambda p: p.claims.update(azp="other")),
        ("another nonce", lambda p: p.claims.update(nonce="other")),
        ("no nonce", lambda p: p.left_out.add("nonce")),
        ("over", lambda p: p.claims.update(exp=1)),
        ("without an end", lambda p: p.left_out.add("exp")),
        ("old", lambda p: p.claims.update(iat=1)),
        ("of the future", lambda p: p.claims.update(iat=9e12)),
        ("nobody", lambda p: p.left_out.add("sub")),
        ("another's key", lambda p: setattr(p, "signing", jwk.ECKey.generate_key("P-256", {"kid": "one"}))),
        ("another's discovery", lambda p: p.discovery.update(issuer="https://login.evil.test")),
        ("keys of our own network", lambda p: p.discovery.update(jwks_uri="https://10.0.0.1/keys")),
        ("a token from our own network", lambda p: p.discovery.update(token_endpoint="https://[::1]/token")),
        ("a token without TLS", lambda p: p.discovery.update(token_endpoint="http://login.acme.test/token")),
        ("no secret taken", lambda p: p.discovery.update(token_endpoint_auth_methods_supported=["private_key_jwt"])),
    ],
)
async def test_a_token_or_a_provider_that_is_not_right_lets_nobody_in(
    place: Place, name: str, change: Callable[[Provider], Any]
) -> None:
    await place.set()
    await place.house.person(Role.HELPDESK, address="ann@acme.test")
    browser = place.house.browser()
    back = await place.sent(browser)
    change(place.provider)
    answer = await browser.get(back)
    assert (answer.status, "gave no answer that can be used" in answer.text) == (409, True), name
    assert (await browser.get("/c/acme")).to == "/login", name


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("RS256", lambda: jwk.RSAKey.generate_key(2048, {"kid": "one"})),
        ("PS256", lambda: jwk.RSAKey.generate_key(2048, {"kid": "one"})),
        ("ES384", lambda: jwk.ECKey.generate_key("P-384", {"kid": "one"})),
        ("Ed25519", lambda: jwk.OKPKey.generate_key("Ed25519", {"kid": "one"})),
    ],
)
async def test_tokens_by_each_algorithm(place: Place, algorithm: str, key: Callable[[], Any]) -> None:
    await place.set()
    await place.house.person(Role.HELPDESK, address="ann@acme.test")
    place.provider.algorithm, place.provider.key = algorithm, key()
    assert (await place.walk()).to == "/"


async def test_a_shared_secret_signs_nothing(place: Place) -> None:
    """HS256 with the client's secret would let whoever knows it be anybody."""
    await place.set()
    await place.house.person(Role.HELPDESK, address="ann@acme.test")
    place.provider.algorithm = "HS256"
    place.provider.signing = jwk.OctKey.import_key(SECRET)
    await place.fails()


async def test_answers_are_taken_once_in_time_from_the_browser_that_asked_and_to_its_question(place: Place) -> None:
    await place.set()
    await place.house.person(Role.HELPDESK, address="ann@acme.test")
    browser = place.house.browser()
    back = await place.sent(browser)
    assert (await place.house.browser("192.0.2.66").get(back)).status == 409  # a link that somebody was sent
    kept = dict(browser.cookies)
    assert (await browser.get(back)).to == "/"
    browser.cookies = kept
    assert (await browser.get(back)).status == 409
    spoil: tuple[Callable[[str], str], ...] = (
        lambda url: url.replace("state=", "state=x"),
        lambda url: url.partition("&state=")[0],
        lambda url: url.partition("&iss=")[0],  # the provider says that it names itself
        lambda url: url.replace("iss=https", "iss=http"),
        lambda url: "/sso-callback?error=access_denied&state=" + url.partition("&state=")[2],
    )
    for spoilt in spoil:
        other = place.house.browser()
        assert (await other.get(spoilt(await place.sent(other)))).status == 409
    late = place.house.browser()
    back = await place.sent(late)
    place.house.clock.advance(SECONDS)
    assert (await late.get(back)).status == 409
    # Between question and answer the customer went to another provider: what is answered is of the old one.
    changed = place.house.browser()
    back = await place.sent(changed)
    await place.set(client="other")
    assert (await changed.get(back)).status == 409


async def test_the_address_has_to_be_verified_and_an_account_of_this_customer(place: Place) -> None:
    await place.set()
    house = place.house
    await house.person(Role.OPERATOR, "", "boss@console.test")
    await house.person(Role.OWNER, "globex", "gus@globex.test")
    await house.person(Role.HELPDESK, address="ann@acme.test")
    place.provider.user["email_verified"] = False
    await place.fails("does not vouch")
    place.provider.user["email_verified"] = True
    for address in ("boss@console.test", "gus@globex.test", "first@globex.test", "new@acme.test"):
        place.provider.user["email"] = address
        await place.fails("no account for you")
    await place.set(Role.READER)
    for address in ("boss@console.test", "gus@globex.test", "new@elsewhere.test"):  # not even made anew
        place.provider.user["email"] = address
        await place.fails("no account for you")
    place.provider.user["email"] = "new@acme.test"
    browser = house.browser()
    assert (await place.walk(browser)).to == "/"
    assert (await browser.get("/c/acme")).status == 200
    async with house.book.reading() as connection:
        row = (await connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.address == "new@acme.test"))).one()
    assert (row.customer, row.role, row.name, row.password) == ("acme", "read-only", "Ann", "")
    await house.settle()
    assert [order.account for order, _ in house.post.sent if order.account == row.id] == []  # nothing to activate
    closing = models.AccountChange(closed=True)
    await house.desk.accounts.change_account(OPERATOR, customer="acme", account=row.id, body=closing)
    await place.fails("no account for you")


async def test_the_address_may_stand_with_the_users_information(place: Place) -> None:
    await place.set()
    await place.house.person(Role.HELPDESK, address="ann@acme.test")
    place.provider.userinfo = {"email": "ann@acme.test", "email_verified": True}
    assert (await place.walk()).to == "/"
    place.provider.userinfo = {"email": "ann@acme.test", "email_verified": True, "sub": "u2"}
    await place.fails()


async def test_who_signs_in_there_has_shown_enough_where_a_second_factor_is_required(place: Place) -> None:
    await place.set()
    owner = await place.house.person(Role.OWNER, address="ann@acme.test")
    await owner.fill("/c/acme/sign-in", {"action": "factor", "required": "yes"})
    assert (await owner.get("/c/acme")).to == "/me/factors"
    browser = place.house.browser()
    assert (await place.walk(browser)).to == "/"
    assert (await browser.get("/c/acme")).status == 200


async def test_a_kept_secret_goes_to_its_own_issuer_alone(place: Place) -> None:
    owner = await place.house.person(Role.OWNER)
    form = {"action": "provider", "issuer": ISSUER, "client": CLIENT, "secret": SECRET, "role": ""}
    assert (await owner.fill("/c/acme/sign-in", form)).status == 303
    assert (await owner.fill("/c/acme/sign-in", {**form, "secret": "", "role": "auditor"})).status == 303
    page = (await owner.get("/c/acme/sign-in")).text
    assert "https://console.test/sso-callback" in page
    assert SECRET not in page
    refused = await owner.fill("/c/acme/sign-in", {**form, "issuer": "https://login.evil.test", "secret": ""})
    assert "secret is needed" in refused.text
    for issuer in ("http://login.acme.test", "https://10.0.0.1", "https://localhost", "https://a@login.acme.test", "x"):
        refused = await owner.fill("/c/acme/sign-in", {**form, "issuer": issuer})
        assert "issuer was not taken" in refused.text, issuer
    assert (await owner.fill("/c/acme/sign-in", {"action": "remove"})).status == 303
    assert (await place.house.browser().post("/sso", {"organisation": "acme"})).status == 409


async def test_without_a_provider_customers_that_are_there_and_not_there_are_answered_alike(place: Place) -> None:
    answers = set()
    for name in ("globex", "first@globex.test", "nobody", "x@nowhere.test"):
        answer = await place.house.browser().post("/sso", {"organisation": name})
        started = await place.house.browser().get(f"/sso/{urllib.parse.quote(name)}/start")
        answers.add((answer.status, answer.text.replace(name, "NAME"), started.status, started.text))
    assert len(answers) == 1


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner))
NAMES = st.sampled_from(
    ["alg", "kid", "typ", "crit", "iss", "sub", "aud", "exp", "iat", "nonce", "email", "b64", "zip"]
)
KEY_NAMES = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "k", "use", "kid", "alg", "key_ops"])
WORDS = st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "sig", "none", "HS256", "ES256", "AQAB", "AA"])
KEYS = st.dictionaries(KEY_NAMES, WORDS | TREES)
DISCOVERY = Discovery(issuer=ISSUER, authorization="", token="", keys="", userinfo="", basic=True, says_issuer=False)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(NAMES, WORDS | TREES), st.dictionaries(NAMES, TREES), st.text(max_size=8), TREES | st.lists(KEYS)
)
def test_whatever_a_provider_sends_is_refused_by_one_error(head: object, body: object, rest: str, keys: object) -> None:
    token = ".".join([*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in (head, body)), rest])
    for sent in (token, token.replace("=", ""), rest, head):
        with pytest.raises(BadProvider):
            identity_of(sent, {"keys": keys}, DISCOVERY, client=CLIENT, nonce="n", now=1e9)
    for document in (head, body, {"issuer": ISSUER, "token_endpoint": keys}):
        assert isinstance(document, dict)
        with pytest.raises(BadProvider):
            read_discovery(document, ISSUER, private=False)


def test_urls_that_may_be_asked() -> None:
    for url in ("https://login.acme.test", "https://login.acme.test:8443/realms/x", "https://198.41.0.4/"):
        assert url_problem(url, private=False) == "", url
    for url in (
        "",
        "ftp://login.acme.test",
        "https://",
        "https://login",
        "https://127.1",
        "https://2130706433",
        "https://[::1",
        "https://login.acme.test:99999",
        "https://login.acme.test/#x",
        "https://u:p@login.acme.test",
        "https://metadata.google.internal",
        "https://login.acme.test/\nx",
    ):
        assert url_problem(url, private=False), url
    assert url_problem("http://127.0.0.1:1", private=True) == ""


async def test_an_operator_sees_how_people_sign_in_and_changes_nothing(place: Place) -> None:
    rules = await place.house.desk.signon.sign_in(OPERATOR, customer="acme")
    assert rules.issuer == ""
