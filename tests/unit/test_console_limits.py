"""Accounts that are limited to domains: every operation, as such an account, which must not see what else there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from schemas.events import Customer, Domain, Envelope, Host, Received, Rule
from services.console import models
from services.console.accounts import add_account
from services.console.api import routes_of
from services.console.book import Author
from services.console.caller import ACT, LIMITED, Caller, Forbidden, NotFound, Refused
from services.console.roles import OF_DOMAINS, Act, Role
from services.core.customers import CustomerSpec
from services.core.ids import message_id
from services.trace.decide import facts
from tests.house.console import OPERATOR, ConsoleHouse, console_house

OWN, OTHER = "acme.test", "other.test"
HIDDEN: Final = (OTHER, "first@acme.test", "whole@acme.test", "a rule of all", "secret subject")

# What an account that is limited may do at all; a new operation is not among them until it says so, and is walked here.
OPEN: Final = {
    "me",
    "sessions",
    "end_session",
    "end_other_sessions",
    "factors",
    "customer",
    "export",
    "domains",
    "add_domain",
    "domain",
    "remove_domain",
    "prove_domain",
    "route_domain",
    "test_domain",
    "mx",
    "accounts",
    "invite",
    "change_account",
    "send_link",
    "sign_out",
    "reset_factors",
    "tokens",
    "make_token",
    "revoke_token",
    "licence",
    "audit",
    "trace",
    "traced",
}

REFUSED: Final = {
    "add_domain",
    "end_session",
    "test_domain",
}  # as for anybody: it is there, and no such session or host


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        relay = (Host(host="198.41.0.4"),)
        event = Customer(
            id="acme",
            name="Acme",
            domains=(Domain(name=OWN, relay=relay), Domain(name=OTHER, relay=relay)),
            rules=(Rule(name="a rule of all", tag_subject="x"),),
        )
        spec = CustomerSpec(event, (f"ann@{OWN}", f"bob@{OTHER}"))
        await house.desk.customers.take_in([spec], Author("file"))
        await house.settle()
        await house.trace.write([facts(received(house, OWN, "open subject"), house.clock.now())])
        await house.trace.write([facts(received(house, OTHER, "secret subject"), house.clock.now())])
        yield house


def received(house: ConsoleHouse, domain: str, subject: str) -> Received:
    now = house.clock.now()
    return Received(
        id=message_id(now, lambda count: domain.encode()[:count].ljust(count)),
        customer="acme",
        domain=domain,
        key="k",
        envelope=Envelope(reverse_path="x@sender.test", recipients=(f"ann@{domain}",), client_ip="192.0.2.7"),
        size=10,
        received_at=now,
        server="mx.test",
        plan=(),
        subject=subject,
    )


async def account(house: ConsoleHouse, address: str, role: Role, *domains: str) -> Caller:
    async with house.book.change(Author("test")) as change:
        body = models.NewAccount(address=address, role=role, domains=list(domains))
        identity = await add_account(change, "acme", body)
    limits = frozenset(domains) or None
    return Caller(account=identity, customer="acme", role=role, address=address, domains=limits)


def told(answer: Any) -> str:
    return msgspec.json.encode(answer.model_dump(mode="json")).decode()


def arguments(name: str, domain: str, ids: dict[str, str]) -> dict[str, Any]:
    """Return what the operation is called with: about this domain, and these accounts and tokens."""
    of = {"customer": "acme"}
    at = {**of, "name": domain}
    who = {**of, "account": ids["account"]}
    known: dict[str, dict[str, Any]] = {
        "me": {},
        "sessions": {},
        "factors": {},
        "end_other_sessions": {},
        "end_session": {"session": "none"},
        "customer": of,
        "export": of,
        "domains": of,
        "add_domain": {**of, "body": models.NewDomain(name=domain)},
        "domain": at,
        "prove_domain": at,
        "route_domain": {**at, "body": models.Routing(relay=[models.Relay(host="198.41.0.5")])},
        "test_domain": {**at, "body": models.Test(host=5)},
        "mx": at,
        "remove_domain": at,
        "accounts": of,
        "invite": {**of, "body": models.NewAccount(address=f"n@{domain}", role=Role.READER, domains=[domain])},
        "send_link": who,
        "reset_factors": who,
        "sign_out": who,
        "change_account": {**who, "body": models.AccountChange(role=Role.READER)},
        "tokens": of,
        "make_token": {**of, "body": models.NewToken(label="x", scopes=[Act.SELF])},
        "revoke_token": {**of, "token": ids["token"]},
        "licence": of,
        "audit": of,
        "trace": of,
        "traced": {**of, "message": ids["message"]},
    }
    return known[name]


async def prepared(house: ConsoleHouse, domain: str, *limits: str) -> dict[str, str]:
    whose = await account(house, f"whole@{OWN}" if not limits else f"part@{domain}", Role.ADMINISTRATOR, *limits)
    body = models.NewToken(label="x", scopes=[Act.SELF])
    token = await house.desk.tokens.make_token(whose, customer="acme", body=body)
    return {"account": whose.account, "token": token.id, "message": received(house, domain, "").id}


async def test_every_operation_says_whether_a_limited_account_may_and_no_other_is_open(house: ConsoleHouse) -> None:
    ann = await account(house, "ann@acme.test", Role.ADMINISTRATOR, OWN)
    said = {operation.__name__: getattr(operation, LIMITED) for _, _, operation in routes_of(house.desk)}
    assert {name for name, limited in said.items() if limited} == OPEN
    opened = {getattr(operation, ACT) for _, _, operation in routes_of(house.desk) if getattr(operation, LIMITED)}
    assert opened == OF_DOMAINS  # what pages and tokens offer them
    with pytest.raises(Forbidden):
        await house.desk.signon.sign_in(ann, customer="acme")


async def test_every_operation_about_ones_own_domain_is_done_and_says_nothing_of_others(house: ConsoleHouse) -> None:
    ann = await account(house, "ann@acme.test", Role.ADMINISTRATOR, OWN)
    ids = await prepared(house, OWN, OWN)
    await prepared(house, OTHER)
    operations = {operation.__name__: operation for _, _, operation in routes_of(house.desk)}
    seen = ""
    for name in [each for each in operations if each in OPEN and each != "remove_domain"]:
        if name in REFUSED:
            with pytest.raises((Refused, NotFound)):
                await operations[name](ann, **arguments(name, OWN, ids))
            continue
        answer = told(await operations[name](ann, **arguments(name, OWN, ids)))
        assert [hidden for hidden in HIDDEN if hidden in answer] == [], name
        seen += answer
    for shown in (OWN, "open subject", f"part@{OWN}", f"n@{OWN}", "domain-routed"):
        assert shown in seen
    await operations["remove_domain"](ann, customer="acme", name=OWN)
    assert [each.name for each in (await house.desk.domains.domains(OPERATOR, customer="acme")).domains] == [OTHER]


async def test_every_operation_about_another_domain_finds_nothing(house: ConsoleHouse) -> None:
    ann = await account(house, "ann@acme.test", Role.ADMINISTRATOR, OWN)
    operations = {operation.__name__: operation for _, _, operation in routes_of(house.desk)}
    about = (
        "domain",
        "add_domain",
        "remove_domain",
        "prove_domain",
        "route_domain",
        "test_domain",
        "mx",
        "invite",
        "change_account",
        "send_link",
        "reset_factors",
        "sign_out",
        "revoke_token",
        "traced",
    )
    before = told(await house.desk.domains.domains(OPERATOR, customer="acme"))
    for limits in ((), (OTHER,), (OWN, OTHER)):
        ids = await prepared(house, f"x{len(limits)}.test" if limits == (OWN, OTHER) else OTHER, *limits)
        ids["message"] = received(house, OTHER, "").id
        for name in about:
            with pytest.raises((NotFound, Forbidden)):
                await operations[name](ann, **arguments(name, OTHER, ids))
    assert told(await house.desk.domains.domains(OPERATOR, customer="acme")) == before
    for asked in (f"ann@{OTHER}", f"@{OTHER}", ""):
        found = await house.desk.history.trace(ann, customer="acme", recipient=asked)
        assert [message.subject for message in found.messages] == ([] if asked else ["open subject"])


async def test_nobody_makes_or_frees_an_account_beyond_his_own_limits(house: ConsoleHouse) -> None:
    ann = await account(house, "ann@acme.test", Role.ADMINISTRATOR, OWN)
    accounts = house.desk.accounts
    made = await accounts.invite(ann, customer="acme", body=models.NewAccount(address="n@acme.test", role=Role.READER))
    assert made.domains == [OWN]  # not all of them, though none was named
    for names in ([], [OTHER], [OWN, OTHER]):
        change = models.AccountChange(domains=names)
        with pytest.raises(Forbidden):
            await accounts.change_account(ann, customer="acme", account=made.id, body=change)
        with pytest.raises(Forbidden):
            await accounts.change_account(ann, customer="acme", account=ann.account, body=change)
    body = models.NewAccount(address="o@acme.test", role=Role.OWNER, domains=[OWN])
    with pytest.raises(Refused, match=r"account\.owner-limited"):
        await accounts.invite(OPERATOR, customer="acme", body=body)
    body = models.NewAccount(address="o@acme.test", role=Role.READER, domains=["globex.test"])
    with pytest.raises(Refused, match=r"account\.no-domain"):
        await accounts.invite(OPERATOR, customer="acme", body=body)


async def test_sessions_and_tokens_are_limited_as_their_account_is_at_once(house: ConsoleHouse) -> None:
    browser = await house.person(Role.ADMINISTRATOR, address="eve@acme.test")
    assert OTHER in (await browser.get("/c/acme/domains")).text
    listed = (await house.desk.accounts.accounts(OPERATOR, customer="acme")).accounts
    eve = next(each for each in listed if each.address == "eve@acme.test")
    owner = await house.person(Role.OWNER)
    limit = {"action": "limit", "account": eve.id, "domains": OWN.upper()}
    assert (await owner.fill("/c/acme/accounts", limit)).status == 303
    page = (await browser.get("/c/acme/domains")).text
    assert (OWN in page, OTHER in page) == (True, False)
    assert (await browser.get(f"/c/acme/domains/{OTHER}")).status == 404
    assert (await browser.get("/c/acme/sign-in")).status == 403
    made = await browser.fill("/c/acme/tokens", {"action": "make", "label": "x", "scope": ["domains.show"]})
    program = house.browser()
    program.token = made.text.partition('<pre tabindex="0">gpc_')[2].partition("<")[0]
    program.token = f"gpc_{program.token}"
    found = (await program.api("GET", "/customers/acme/domains")).json["domains"]
    assert [each["name"] for each in found] == [OWN]
