"""Accounts that are limited to domains: every operation, as such an account, which must not see what else there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from schemas.events import (
    Account,
    Action,
    Branch,
    Customer,
    Direction,
    Disposition,
    Domain,
    Envelope,
    Group,
    Host,
    Match,
    Outbound,
    Received,
    Rule,
    Status,
)
from services.console import models
from services.console.accounts import add_account
from services.console.api import routes_of
from services.console.book import Author
from services.console.caller import ACT, LIMITED, Caller, Forbidden, NotFound, Refused
from services.console.mail_models import SenderChange
from services.console.policy_models import Condition, NewPolicy
from services.console.policy_models import Rule as PolicyRule
from services.console.roles import OF_DOMAINS, Act, Role
from services.console.traffic_models import HeldAct, HeldMatching
from services.console.users.models import EndUserChange, EndUsersTable, NewEndUser
from services.core.customers import CustomerSpec
from services.core.ids import message_id
from services.quarantine.decide import Shown, holds
from services.quarantine.index import Index
from services.trace.decide import facts
from tests.house.console import OPERATOR, ConsoleHouse, console_house
from tests.unit.test_console_doors import EXPECTED

OWN, OTHER = "acme.test", "other.test"
OWNER: Final = Caller(account="o", customer="acme", role=Role.OWNER, address="owner@acme.test")
HIDDEN: Final = (
    OTHER,
    "first@acme.test",
    "whole@acme.test",
    "a rule of all",
    "a rule of the other",
    "of-the-other",
    "secret subject",
    "198.51.100.9",
    "hidden-sender.test",
)

# What an account that is limited may do at all; a new operation is not among them until it says so, and is walked here.
OPEN: Final = {name for name, roles in EXPECTED.items() if "l" in roles}

REFUSED: Final = {
    "add_domain",
    "end_session",
    "test_domain",
    "use_keys",
    "remove_keys",
    "read_held",
    "act_held_matching",
}  # as for anybody: it is there, and no such session or host; of keys none is published, and none is gp9; no octets are
# there to be read; what a search finds has a test of its own
LATE: Final = ("remove_user", "remove_submitter", "remove_domain")  # what others need before


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        relay = (Host(host="198.41.0.4"),)
        event = Customer(
            id="acme",
            name="Acme",
            domains=(Domain(name=OWN, relay=relay), Domain(name=OTHER, relay=relay)),
            rules=(
                Rule(name="a rule of all", tag_subject="x"),
                Rule(name="a rule of the other", when=Match(recipients=("group:of-the-other",)), tag_subject="y"),
            ),
            groups=(Group(name="of-the-other", members=(f"bob@{OTHER}",)),),
            outbound=Outbound(addresses=("198.51.100.9/32",), accounts=(Account(name=f"mta@{OTHER}", password="$"),)),
        )
        spec = CustomerSpec(event, (f"ann@{OWN}", f"bob@{OTHER}"))
        await house.desk.customers.take_in([spec], Author("file"))
        await house.settle()
        await house.trace.write([facts(received(house, OWN, "open subject"), house.clock.now())])
        await house.trace.write([facts(received(house, OTHER, "secret subject"), house.clock.now())])
        for domain, subject in ((OWN, "open held"), (OTHER, "secret subject")):
            await held(house, domain, subject)
        for whom, sender in (
            (f"@{OTHER}", "hidden-sender.test"),
            ("all", "hidden-sender.test"),
            (f"@{OWN}", "sender.test"),
        ):
            body = SenderChange.model_validate({"senders": [f"@{sender}"], "for": whom, "list": "blocked"})
            await house.desk.lists.change_senders(OWNER, customer="acme", body=body)
        for address, kind, more in (
            (f"ann@{OWN}", "user", {}),
            (f"bob@{OTHER}", "user", {}),
            (f"mix@{OWN}", "user", {"aliases": [f"mix@{OTHER}"]}),
            (f"team@{OWN}", "group", {"members": [f"ann@{OWN}", f"bob@{OTHER}"]}),
        ):
            await house.desk.users.add_user(OWNER, customer="acme", body=new_user(address, kind, **more))
        await house.settle()
        yield house


def new_user(address: str, kind: str = "user", **more: Any) -> NewEndUser:
    return NewEndUser.model_validate({"address": address, "kind": kind, "invite": False, **more})


async def held(house: ConsoleHouse, domain: str, subject: str, **changes: Any) -> None:
    now = house.clock.now()
    message = msgspec.structs.replace(received(house, domain, subject), **changes)
    branch = Branch(recipients=(f"ann@{domain}",), action=Action.QUARANTINE, rule="spam", reason="spam")
    decided = Disposition(received=message, branches=(branch,), status=Status.SPAM, score=9.0, decided_at=now)
    await Index(house.book.database).hold(holds(decided, Shown(subject, "x@sender.test"), now, 30.0), decided)


async def user_of(house: ConsoleHouse, address: str) -> str:
    """Return the id of who has the address, whatever the caller sees."""
    found = await house.desk.users.users(OWNER, customer="acme", search=address)
    return found.users[0].id


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


def arguments(name: str, domain: str, ids: dict[str, str], version: str = "") -> dict[str, Any]:
    """Return what the operation is called with: about this domain, and these accounts and tokens."""
    of = {"customer": "acme"}
    at = {**of, "name": domain}
    who = {**of, "account": ids["account"]}
    user = {**of, "user": ids.get("user", "")}
    rule = PolicyRule(name=f"for {domain}", when=Condition(recipients=[f"@{domain}"]), tag_subject="[z]")
    policy = {**of, "body": NewPolicy(version=version, rules=[rule])}
    act = {"action": "release", "items": [{"id": ids["message"], "recipient": f"ann@{domain}"}]}
    lists = {"senders": ["@x.test"], "for": f"@{domain}", "list": "blocked"}
    known: dict[str, dict[str, Any]] = {
        "held": of,
        "act_held": {**of, "body": HeldAct.model_validate(act)},
        "act_held_matching": {**of, "body": HeldMatching(action="delete", recipient=f"nobody@{domain}")},
        "read_held": {**of, "message": ids["message"]},
        "users": of,
        "user": user,
        "add_user": {**of, "body": new_user(f"new@{domain}")},
        "change_user": {**user, "body": EndUserChange(name="Another")},
        "remove_user": user,
        "import_users": {**of, "body": EndUsersTable(csv=f"address,name\ncsv@{domain},C", replace=True)},
        "user_link": user,
        "invite_users": of,
        "policy": of,
        "policy_yaml": of,
        "set_policy": policy,
        "what_if": policy,
        "senders": of,
        "change_senders": {**of, "body": SenderChange.model_validate(lists)},
        "outbound": of,
        "outbound_records": at,
        "add_submitter": {**of, "body": models.NewSubmitter(name=f"mta@{domain}")},
        "remove_submitter": {**of, "name": f"mta@{domain}"},
        "make_keys": at,
        "use_keys": {**at, "body": models.KeyName(name="gp1")},
        "remove_keys": {**at, "key": "gp9"},
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
    user = await user_of(house, f"ann@{OWN}" if domain == OWN else f"bob@{OTHER}")
    return {"account": whose.account, "token": token.id, "message": received(house, domain, "").id, "user": user}


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
    whole = await whole_of(house)
    for name in [*(each for each in operations if each in OPEN and each not in LATE), *LATE[:-1]]:
        version = (await house.desk.policies.policy(ann, customer="acme")).version
        if name in REFUSED:
            with pytest.raises((Refused, NotFound)):
                await operations[name](ann, **arguments(name, OWN, ids))
            continue
        answer = told(await operations[name](ann, **arguments(name, OWN, ids, version)))
        assert [hidden for hidden in HIDDEN if hidden in answer] == [], name
        seen += answer
    seen += told(await house.desk.users.users(ann, customer="acme"))
    for shown in (
        *(OWN, "open subject", f"part@{OWN}", f"n@{OWN}", "domain-routed", "open held", "@sender.test"),
        *(f"team@{OWN}", f"new@{OWN}", f"csv@{OWN}", f"for {OWN}", f"mta@{OWN}", "gp1"),
    ):
        assert shown in seen, shown
    assert await whole_of(house) == whole  # the other's is as it was
    await operations["remove_domain"](ann, customer="acme", name=OWN)
    assert [each.name for each in (await house.desk.domains.domains(OPERATOR, customer="acme")).domains] == [OTHER]


async def whole_of(house: ConsoleHouse) -> Any:
    """Return what the customer has beside the one domain."""
    await house.settle()
    known = house.published("acme")
    assert known is not None
    users = (await house.desk.users.users(OWNER, customer="acme")).users
    team = await house.desk.users.user(OWNER, customer="acme", user=await user_of(house, f"team@{OWN}"))
    return (
        [rule for rule in known.rules if OWN not in rule.name],
        known.groups,
        [account for account in known.outbound.accounts if OWN not in account.name],
        [user for user in users if any(OTHER in address for address in user.addresses)],
        [each for each in team.members if OWN not in each],
        sorted(entry.whom for entry in house.senders.of("acme") if entry.sender == "@hidden-sender.test"),
    )


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
        "act_held",
        "read_held",
        "user",
        "add_user",
        "change_user",
        "remove_user",
        "import_users",
        "user_link",
        "set_policy",
        "what_if",
        "change_senders",
        "outbound_records",
        "add_submitter",
        "remove_submitter",
        "make_keys",
        "use_keys",
        "remove_keys",
    )
    whole = await whole_of(house)
    version = (await house.desk.policies.policy(ann, customer="acme")).version
    before = told(await house.desk.domains.domains(OPERATOR, customer="acme"))
    for limits in ((), (OTHER,), (OWN, OTHER)):
        ids = await prepared(house, f"x{len(limits)}.test" if limits == (OWN, OTHER) else OTHER, *limits)
        ids["message"] = received(house, OTHER, "").id
        ids["user"] = await user_of(house, f"mix@{OWN}" if limits == (OWN, OTHER) else f"bob@{OTHER}")
        for name in about:
            with pytest.raises((NotFound, Forbidden, Refused)):
                await operations[name](ann, **arguments(name, OTHER, ids, version))
    assert await whole_of(house) == whole
    assert told(await house.desk.domains.domains(OPERATOR, customer="acme")) == before
    for asked in (f"ann@{OTHER}", f"@{OTHER}", ""):
        found = await house.desk.history.trace(ann, customer="acme", recipient=asked)
        assert [message.subject for message in found.messages] == ([] if asked else ["open subject"])


async def test_of_what_a_search_finds_he_orders_his_own(house: ConsoleHouse) -> None:
    ann = await account(house, "ann@acme.test", Role.ADMINISTRATOR, OWN)
    house.clock.advance(1)  # what comes to be held now is not meant
    everything = HeldMatching(action="delete")
    asked = await house.desk.held.act_held_matching(ann, customer="acme", body=everything)
    assert asked.asked == 1
    assert (await house.desk.held.act_held_matching(OWNER, customer="acme", body=everything)).asked == 2


async def test_what_another_domain_sends_is_not_his_to_let_out(house: ConsoleHouse) -> None:
    """Not even to himself: rules for all of the customer have stopped it."""
    ann = await account(house, "ann@acme.test", Role.HELPDESK, OWN)
    for place, domain in enumerate((OTHER, OWN)):
        identity = message_id(house.clock.now() + place + 1, bytes)
        envelope = Envelope(reverse_path=f"x@{domain}", recipients=(f"ann@{OWN}",), client_ip="192.0.2.7")
        await held(house, OWN, "numbers", id=identity, envelope=envelope, direction=Direction.OUTBOUND)
        items = [{"id": identity, "recipient": f"ann@{OWN}"}]
        body = HeldAct.model_validate({"action": "release", "items": items})
        if domain == OWN:
            assert (await house.desk.held.act_held(ann, customer="acme", body=body)).asked == 1
        else:
            with pytest.raises(NotFound):
                await house.desk.held.act_held(ann, customer="acme", body=body)


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
