"""Who may do what: every route of the API as every role, as another customer, as nobody; and the ways in, attacked.

The table stands on its own, beside the code's: a new operation without a line here fails, and so does a wider one.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from sqlalchemy import select, update

from services.console import (
    accounts,
    customers,
    directories,
    domains,
    factors,
    figures,
    held,
    history,
    licences,
    listed,
    models,
    policies,
    proofs,
    protections,
    purged,
    queues,
    reports,
    signon,
    tokens,
)
from services.console.accounts import add_account
from services.console.api import routes_of
from services.console.book import Author
from services.console.caller import ACT, Refused
from services.console.credentials import Passwords, new_secret
from services.console.licence import DAY, Terms, issue_key
from services.console.pages import POLICY
from services.console.roles import MAY, RENEWAL, Act, Role, acts_of, may_manage
from services.console.sessions import IDLE, SESSION_MOST
from services.console.signin import SignIn
from services.console.spec import PATH, spec
from services.console.tables import ACCOUNTS, CUSTOMERS, TOKENS
from services.console.throttle import WINDOW
from tests.house.asgi import Browser
from tests.house.console import BASE, OPERATOR, PASSWORD, ConsoleHouse, console_house

LETTERS: Final = {
    "w": Role.OWNER,
    "a": Role.ADMINISTRATOR,
    "h": Role.HELPDESK,
    "u": Role.AUDITOR,
    "r": Role.READER,
    "o": Role.OPERATOR,  # the last: he takes the customer away
}
# operation → the roles that may, by their letters; and l for an administrator who is limited to domains
EXPECTED: Final[dict[str, str]] = {
    "me": "owahurl",
    "sessions": "owahurl",
    "end_session": "owahurl",
    "end_other_sessions": "owahurl",
    "factors": "owahurl",
    "customers": "o",
    "add_customer": "o",
    "kept": "o",
    "kept_customer": "o",
    "take_over": "o",
    "purges": "o",
    "certificate": "o",
    "customer": "owahurl",
    "remove_customer": "o",
    "export": "owal",
    "domains": "owahurl",
    "add_domain": "owal",
    "domain": "owahurl",
    "remove_domain": "owal",
    "prove_domain": "owal",
    "mail_proof": "owa",
    "limit_trial": "owa",
    "route_domain": "owal",
    "test_domain": "owahl",
    "mx": "owahurl",
    "directories": "owahur",
    "draft": "owa",
    "remove_directory": "owa",
    "try_directory": "owa",
    "use_directory": "owa",
    "upload": "owa",
    "apply_upload": "owa",
    "outbound": "owahurl",
    "change_outbound": "owa",
    "add_submitter": "owal",
    "remove_submitter": "owal",
    "add_certificate": "owa",
    "remove_certificate": "owa",
    "data_loss": "owahur",
    "set_data_loss": "owa",
    "try_data_loss": "wa",
    "outbound_records": "owahurl",
    "make_keys": "owal",
    "use_keys": "owal",
    "remove_keys": "owal",
    "accounts": "owahul",
    "invite": "owal",
    "change_account": "owal",
    "send_link": "owahl",
    "sign_out": "owal",
    "reset_factors": "owal",
    "sign_in": "owau",
    "require_factor": "w",
    "set_provider": "w",
    "remove_provider": "w",
    "users": "wahul",
    "user": "wahul",
    "add_user": "wal",
    "change_user": "wal",
    "remove_user": "wal",
    "import_users": "wal",
    "read_users": "wa",
    "user_link": "owahl",
    "invite_users": "owahl",
    "tokens": "owaul",
    "make_token": "owal",
    "revoke_token": "owal",
    "licence": "owahurl",
    "renew": "ow",
    "audit": "owaul",
    "trace": "wahul",
    "traced": "wahul",
    "service_figures": "o",
    "figures": "owahur",
    "queue": "owahu",
    "order_queue": "owa",
    "held": "wahul",
    "act_held": "wahl",
    "act_held_matching": "wahl",
    "read_held": "wal",  # the help desk where the customer says so, and this one doesn't
    "report": "wahu",
    "schedules": "wahu",
    "add_schedule": "wa",
    "remove_schedule": "wa",
    "policy": "owahurl",
    "policy_yaml": "owahurl",
    "set_policy": "owal",
    "what_if": "wal",
    "senders": "wahul",
    "change_senders": "wal",
    "protection": "owahur",
    "set_protection": "owa",
    "hosts": "owahur",
    "set_hosts": "owa",
    "retention": "owahur",
    "set_retention": "owa",
}
BODIES: Final[dict[str, Any]] = {
    "add_customer": {"id": "new", "owner": "new@new.test"},
    "add_domain": {"name": "new.test"},
    "mail_proof": {},
    "limit_trial": {"recipients": []},
    "route_domain": {"relay": [{"host": "mx.acme.test"}]},
    "test_domain": {},
    "draft": {"url": "ldaps://ldap.acme.test", "base": "dc=acme"},
    "upload": {"csv": "a@acme.test"},
    "apply_upload": {},
    "change_outbound": {},
    "add_submitter": {"name": "mta@acme.test"},
    "add_certificate": {"certificate": "x"},
    "set_data_loss": {"version": "x"},
    "try_data_loss": {"version": "x"},
    "use_keys": {"name": "gp1"},
    "invite": {"address": "x@acme.test", "role": "read-only"},
    "change_account": {"closed": True},
    "add_user": {"address": "x@acme.test"},
    "change_user": {"name": "x"},
    "import_users": {"csv": "x@acme.test"},
    "make_token": {"label": "x", "scopes": ["self"]},
    "renew": {"key": "gpl1.x.y"},
    "order_queue": {"action": "flush", "destination": "mx.acme.test:25"},
    "act_held_matching": {"action": "release", "sender": "nobody@else.test"},
    "act_held": {"action": "release", "items": [{"id": "01K8Z4N5QJ3M8V7T2R6XW9YB0C", "recipient": "a@acme.test"}]},
    "add_schedule": {"account": "01K8Z4N5QJ3M8V7T2R6XW9YB0C", "period": "daily"},
    "require_factor": {"required": False},
    "set_provider": {"issuer": "https://login.acme.test", "client": "gatepost", "secret": "s"},
    "set_policy": {"version": "x"},
    "what_if": {"version": "x"},
    "change_senders": {"senders": ["a@b.test"], "list": "approved"},
    "set_protection": {"persons": [{"name": "Max Muster"}]},
    "set_hosts": {"allow": ["192.0.2.0/24"]},
    "set_retention": {"queue_days": 10, "delay_warning_hours": 4, "quarantine_days": 9, "retention_hours": 0},
}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        await house.customer("globex")
        yield house


async def token(house: ConsoleHouse, role: Role, customer: str, *scopes: Act, limits: tuple[str, ...] = ()) -> Browser:
    """Return a program with a token of that role, of an account that is limited to these domains."""
    async with house.book.change(Author("test")) as change:
        address = f"t-{role.value}-{len(scopes)}@{customer or 'console'}.test"
        body = models.NewAccount(address=address, role=role, domains=list(limits))
        account = await add_account(change, customer, body)
        identity = change.new_id()
        secret = new_secret(identity, "gpc")
        row = {
            "id": identity,
            "hash": secret.hash,
            "customer": customer,
            "account": account,
            "label": role.value,
            "scopes": "\n".join(scopes or acts_of(role)),
            "made_at": change.now,
            "expires_at": change.now + DAY,
            "revoked_at": 0.0,
        }
        await change.connection.execute(TOKENS.insert(), [row])
    return Browser(house.app, BASE, token=secret.text)


def url(path: str, customer: str, name: str = "acme.test") -> str:
    known = {"customer": customer, "name": name, "account": "01K8Z4N5QJ3M8V7T2R6XW9YB0C"}
    return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], "01K8Z4N5QJ3M8V7T2R6XW9YB0C"), path)


async def test_every_route_as_every_role(house: ConsoleHouse) -> None:
    assert {operation.__name__ for _, _, operation in routes_of(house.desk)} == EXPECTED.keys()
    for letter, role in LETTERS.items():
        program = await token(house, role, "" if role is Role.OPERATOR else "acme")
        routes = routes_of(house.desk)
        for method, path, operation in sorted(routes, key=lambda route: route[2].__name__ == "remove_customer"):
            name = operation.__name__
            answer = await program.api(method, url(path, "acme"), BODIES.get(name))
            allowed = letter in EXPECTED[name]
            assert (answer.status != 403) is allowed, (role, name, answer.status, answer.text)
            assert answer.status < 500, (role, name, answer.text)
    await house.settle()
    assert house.published("acme") is None
    again = await program.api("POST", "/customers", {"id": "acme", "owner": "else@acme.test"})
    assert again.status == 409  # whoever has the id next would see what is left of the first one's mail


async def test_every_route_as_an_account_that_is_limited_to_a_domain(house: ConsoleHouse) -> None:
    for name in ("acme.test", "other.test"):
        await house.desk.domains.add_domain(OPERATOR, customer="acme", body=models.NewDomain(name=name))
    program = await token(house, Role.ADMINISTRATOR, "acme", limits=("acme.test",))
    bodies = {**BODIES, "add_domain": {"name": "acme.test"}}
    for method, path, operation in routes_of(house.desk):
        name = operation.__name__
        answer = await program.api(method, url(path, "acme"), bodies.get(name))
        assert (answer.status != 403) is ("l" in EXPECTED[name]), (name, answer.status, answer.text)
        assert answer.status < 500, (name, answer.text)
        assert "other.test" not in answer.text, name
        if "{customer}" in path:
            assert (await program.api(method, url(path, "globex"), bodies.get(name))).status == 404, name
        if "{name}" in path:
            assert (await program.api(method, url(path, "acme", "other.test"), bodies.get(name))).status in {403, 404}
    listed = (await house.desk.domains.domains(OPERATOR, customer="acme")).domains
    assert [each.name for each in listed] == ["other.test"]


async def test_every_route_of_another_customers_is_not_there(house: ConsoleHouse) -> None:
    for role in set(Role) - {Role.OPERATOR}:
        program = await token(house, role, "acme")
        for method, path, operation in routes_of(house.desk):
            if "{customer}" not in path:
                continue
            body = BODIES.get(operation.__name__)
            answers = [await program.api(method, url(path, customer), body) for customer in ("globex", "nobody")]
            assert {(answer.status, answer.text) for answer in answers} == {(404, '{"detail":"not found"}')}, path


async def test_ids_of_another_customers_things_are_nothing_under_ones_own(house: ConsoleHouse) -> None:
    other, own = await token(house, Role.OWNER, "globex"), await token(house, Role.OWNER, "acme")
    await other.api("POST", "/customers/globex/domains", {"name": "globex.test"})
    account = (await other.api("GET", "/customers/globex/accounts")).json["accounts"][0]["id"]
    made = (await other.api("POST", "/customers/globex/tokens", {"label": "x", "scopes": ["self"]})).json["id"]
    session = (await house.person(Role.ADMINISTRATOR, "globex")).cookies["__Host-gatepost"][:26]
    for method, path, body in (
        ("GET", "/customers/acme/domains/globex.test", None),
        ("DELETE", "/customers/acme/domains/globex.test", None),
        ("POST", "/customers/acme/domains/globex.test/proof", None),
        ("POST", "/customers/acme/domains/globex.test/proof-mail", {}),
        ("PUT", "/customers/acme/domains/globex.test/routing", {"relay": [{"host": "mx.evil.test"}]}),
        ("POST", "/customers/acme/domains/globex.test/test", {}),
        ("PATCH", f"/customers/acme/accounts/{account}", {"closed": True}),
        ("POST", f"/customers/acme/accounts/{account}/link", None),
        ("DELETE", f"/customers/acme/accounts/{account}/sessions", None),
        ("DELETE", f"/customers/acme/accounts/{account}/factors", None),
        ("DELETE", f"/customers/acme/tokens/{made}", None),
        ("DELETE", f"/me/sessions/{session}", None),
    ):
        assert (await own.api(method, path, body)).status == 404, path
    assert (await other.api("GET", "/customers/globex/domains")).json["domains"][0]["name"] == "globex.test"


async def test_nobody_and_wrong_tokens_get_nothing_and_soon_have_to_wait(house: ConsoleHouse) -> None:
    statuses = []
    for method, path, operation in routes_of(house.desk):
        program = Browser(house.app, BASE, token="gpc_01K8Z4N5QJ3M8V7T2R6XW9YB0C_" + "A" * 43)
        statuses.append((await program.api(method, url(path, "acme"), BODIES.get(operation.__name__))).status)
    assert set(statuses) == {401, 429}
    assert statuses.count(401) == 10


async def test_a_cookie_opens_no_api_and_a_token_no_page(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    assert (await browser.api("GET", "/me")).status == 401
    program = await token(house, Role.OWNER, "acme")
    assert (await program.get("/c/acme")).to == "/login"


async def test_a_token_has_its_scopes_and_ends_with_its_maker(house: ConsoleHouse) -> None:
    program = await token(house, Role.OWNER, "acme", Act.DOMAINS_SHOW, Act.TOKENS_CHANGE)
    assert (await program.api("GET", "/customers/acme/domains")).status == 200
    assert (await program.api("GET", "/customers/acme/audit")).status == 403
    wider = {"label": "x", "scopes": ["domains.show", "audit.show"]}
    assert (await program.api("POST", "/customers/acme/tokens", wider)).status == 403  # no more than it has itself
    narrower = {"label": "x", "scopes": ["domains.show"]}
    made = (await program.api("POST", "/customers/acme/tokens", narrower)).json
    second = Browser(house.app, BASE, token=made["token"])
    assert (await second.api("GET", "/customers/acme/domains")).status == 200
    assert (await program.api("DELETE", f"/customers/acme/tokens/{made['id']}")).status == 200
    assert (await second.api("GET", "/customers/acme/domains")).status == 401
    async with house.book.database.writing() as connection:
        await connection.execute(update(ACCOUNTS).values(closed_at=1.0))
    assert (await program.api("GET", "/customers/acme/domains")).status == 401
    house.clock.advance(DAY)
    async with house.book.database.writing() as connection:
        await connection.execute(update(ACCOUNTS).values(closed_at=0.0))
    assert (await program.api("GET", "/customers/acme/domains")).status == 401


def test_every_act_has_roles_and_every_operation_an_act() -> None:
    assert set(MAY) == set(Act)
    assert set(Act) >= RENEWAL
    assert not may_manage(Role.ADMINISTRATOR, Role.OWNER)
    assert not any(may_manage(role, Role.OPERATOR) for role in set(Role) - {Role.OPERATOR})
    rooms = (
        customers.Customers,
        domains.Domains,
        accounts.Accounts,
        tokens.Tokens,
        licences.Licences,
        history.History,
        figures.Figures,
        queues.Queues,
        held.HeldMail,
        reports.Reports,
        purged.Purged,
        proofs.Proofs,
        directories.Directories,
        factors.Factors,
        signon.SignOn,
        policies.Policies,
        listed.Lists,
        protections.Protections,
    )
    bare = [
        f"{room.__name__}.{name}"
        for room in rooms
        for name, value in vars(room).items()
        if callable(value) and not name.startswith("_") and not hasattr(value, ACT)
    ]
    assert bare == ["Customers.take_in"]  # the command line's


async def test_nobody_makes_or_changes_an_account_above_his_own(house: ConsoleHouse) -> None:
    admin = await token(house, Role.ADMINISTRATOR, "acme")
    owner = (await admin.api("GET", "/customers/acme/accounts")).json["accounts"]
    identity = next(each["id"] for each in owner if each["role"] == "owner")
    for role in ("owner", "operator"):
        invited = {"address": "y@acme.test", "role": role}
        assert (await admin.api("POST", "/customers/acme/accounts", invited)).status == 403
    assert (await admin.api("PATCH", f"/customers/acme/accounts/{identity}", {"closed": True})).status == 403
    assert (await admin.api("POST", f"/customers/acme/accounts/{identity}/link")).status == 403
    helper = await token(house, Role.HELPDESK, "acme")
    assert (await helper.api("POST", f"/customers/acme/accounts/{identity}/link")).status == 403
    top = await token(house, Role.OWNER, "acme")
    assert (await top.api("PATCH", f"/customers/acme/accounts/{identity}", {"role": "operator"})).status == 403
    mine = (await top.api("GET", "/me")).json["account"]
    assert (await top.api("PATCH", f"/customers/acme/accounts/{identity}", {"closed": True})).status == 200
    last = await top.api("PATCH", f"/customers/acme/accounts/{mine}", {"role": "auditor"})
    assert (last.status, last.json["detail"]) == (409, "This is the last owner: make another one first.")


# --- sessions, links, passwords


async def test_a_link_works_once_and_ends_every_session_and_every_other_link(house: ConsoleHouse) -> None:
    first = await house.person(Role.ADMINISTRATOR, address="ann@acme.test")
    for _ in range(2):
        assert (await house.browser().post("/forgot", {"address": "ANN@acme.test"})).status == 303
    await house.settle()
    one, two = (link for order, link in house.post.sent if order.kind == "reset")
    new = {"password": "another fine password", "again": "another fine password"}
    browser = house.browser()
    for _ in range(3):
        assert "ann@acme.test" in (await browser.get(f"/link/{one}")).text  # to look at it changes nothing
    assert (await browser.post(f"/link/{one}", new)).status == 303
    for used in (one, two):
        again = await house.browser().post(f"/link/{used}", new)
        assert again.status == 404 or "link is not valid" in again.text
    assert (await first.get("/c/acme")).to == "/login"
    assert (await browser.get("/c/acme")).status == 200
    old = await house.browser().post("/login", {"address": "ann@acme.test", "password": PASSWORD})
    assert old.status == 409


async def test_links_end_by_time_and_passwords_are_asked_to_be_long(house: ConsoleHouse) -> None:
    link = await house.customer("initech")
    browser = house.browser()
    for bad in ("short", "x" * 257, "aaaaaaaaaaaaaaa", "first@initech.test"):
        assert (await browser.post(f"/link/{link}", {"password": bad, "again": bad})).status == 409
    differ = await browser.post(f"/link/{link}", {"password": PASSWORD, "again": "x"})
    assert "are not the same" in differ.text
    house.clock.advance(7 * DAY)
    assert (await browser.get(f"/link/{link}")).status == 404


async def test_sessions_end_by_rest_and_by_age_and_by_hand(house: ConsoleHouse) -> None:
    one, two = await house.person(Role.OWNER, address="a@acme.test"), house.browser()
    assert (await two.post("/login", {"address": "a@acme.test", "password": PASSWORD})).status == 303
    sessions = (await one.get("/me")).text
    other = re.findall(r'name="session" value="(\w+)"', sessions)
    assert len(other) == 1
    assert (await one.fill("/me", {"session": other[0]})).to == "/me?done=session-ended"
    assert (await two.get("/c/acme")).to == "/login"
    begun = house.clock.now()
    while house.clock.now() < begun + SESSION_MOST - IDLE:
        house.clock.advance(IDLE - 60)
        assert (await one.get("/c/acme")).status == 200
    house.clock.advance(IDLE)
    assert (await one.get("/c/acme")).to == "/login"
    assert (await two.post("/login", {"address": "a@acme.test", "password": PASSWORD})).status == 303
    assert (await two.fill("/logout", {})).to == "/login"
    assert (await two.get("/c/acme")).to == "/login"


async def test_all_sessions_end_at_once_by_their_owner_or_by_who_manages_the_account(house: ConsoleHouse) -> None:
    one, two, three = await house.person(Role.HELPDESK, address="h@acme.test"), house.browser(), house.browser()
    for browser in (two, three):
        await browser.post("/login", {"address": "h@acme.test", "password": PASSWORD})
    assert (await one.fill("/me", {"action": "others"})).to == "/me?done=sessions-ended"
    for browser, status in ((one, 200), (two, 303), (three, 303)):
        assert (await browser.get("/c/acme")).status == status
    admin = await token(house, Role.ADMINISTRATOR, "acme")
    listed = (await admin.api("GET", "/customers/acme/accounts")).json["accounts"]
    ids = {each["address"]: each["id"] for each in listed}
    assert (await admin.api("DELETE", f"/customers/acme/accounts/{ids['first@acme.test']}/sessions")).status == 403
    assert (await admin.api("DELETE", f"/customers/acme/accounts/{ids['h@acme.test']}/sessions")).status == 200
    assert (await one.get("/c/acme")).to == "/login"


async def test_a_token_says_when_it_was_used_last(house: ConsoleHouse) -> None:
    owner = await house.person(Role.OWNER)
    made = await owner.fill("/c/acme/tokens", {"action": "make", "label": "x", "scope": "tokens.show", "days": "2"})
    shown = re.search(r"gpc_\w{26}_[\w-]{43}", made.text)
    assert shown is not None
    program = Browser(house.app, BASE, token=shown[0])
    for seconds in (DAY, 1, 60):
        house.clock.advance(seconds)
        (listed,) = (await program.api("GET", "/customers/acme/tokens")).json["tokens"]
        assert house.clock.now() - listed["used_at"] in {0, 1}
    house.clock.advance(DAY)
    assert (await program.api("GET", "/customers/acme/tokens")).status == 401


async def test_known_and_unknown_accounts_are_answered_alike_and_wait_alike(house: ConsoleHouse) -> None:
    await house.person(Role.OWNER, address="known@acme.test")
    seen: dict[str, list[tuple[int, str]]] = {}
    for address in ("known@acme.test", "unknown@acme.test", "no address"):
        browser = house.browser(f"192.0.2.{len(seen) + 50}")
        answers = []
        for _ in range(house.config.failures_by_account + 1):
            answer = await browser.post("/login", {"address": address, "password": "wrong wrong wrong"})
            answers.append((answer.status, answer.text.replace(address, "ADDRESS")))
        for _ in range(2):
            answer = await browser.post("/forgot", {"address": address})
            answers.append((answer.status, answer.to))
        seen[address] = answers
    assert seen["known@acme.test"] == seen["unknown@acme.test"] == seen["no address"]
    assert "Please wait" in seen["known@acme.test"][house.config.failures_by_account][1]
    right = {"address": "known@acme.test", "password": PASSWORD}
    assert (await house.browser("192.0.2.200").post("/login", right)).status == 409  # locked out, from anywhere
    house.clock.advance(WINDOW + 1)
    assert (await house.browser("192.0.2.200").post("/login", right)).status == 303


class Counting(Passwords):
    """Notes what it was asked to verify."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_kib=8)
        self.verified: list[str] = []

    def _verify(self, stored: str, password: str) -> bool:
        self.verified.append(stored)
        return super()._verify(stored, password)


async def test_an_unknown_account_costs_a_hash_as_well(house: ConsoleHouse) -> None:
    """Not a time but the work: both ways go through argon2 once."""
    await house.person(Role.OWNER, address="known@acme.test")
    passwords = Counting()
    signin = SignIn(house.book, passwords, by_client=9, by_subject=9)
    for address in ("known@acme.test", "unknown@acme.test"):
        with pytest.raises(Refused, match=r"login\.wrong"):
            await signin.login(address, "wrong wrong wrong", "192.0.2.1", "")
    assert [stored.startswith("$argon2id$") for stored in passwords.verified] == [True, True]


# --- forms and headers


async def test_a_form_from_elsewhere_does_nothing(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    form = {"name": "new.test"}
    for headers in (
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        page = (await browser.get("/c/acme/domains")).text
        csrf = re.search(r'name="csrf" value="(\w+)"', page)
        assert csrf is not None
        assert (await browser.post("/c/acme/domains", {**form, "csrf": csrf[1]}, **headers)).status == 403
    for wrong in ({}, {"csrf": ""}, {"csrf": "0" * 32}):
        assert (await browser.post("/c/acme/domains", {**form, **wrong})).status == 403
    login = {"address": "owner@acme.test", "password": PASSWORD}
    assert (await house.browser().post("/login", login, origin="https://evil.test")).status == 403
    assert "new.test" not in (await browser.get("/c/acme/domains")).text
    assert (await browser.fill("/c/acme/domains", form)).status == 303


async def test_pages_run_no_script_and_links_never_come_from_host(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    cookie = (await house.browser().post("/login", {"address": "owner@acme.test", "password": PASSWORD})).headers[
        "set-cookie"
    ]
    assert cookie.startswith("__Host-gatepost=")
    assert {"httponly", "secure", "samesite=lax", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    evil = {"name": '"><script>alert(1)</script>.test'}
    for path in (
        "/c/acme",
        "/c/acme/domains",
        "/c/acme/audit",
        "/me",
        "/me/factors",
        "/c/acme/sign-in",
        "/login",
        "/sso",
        "/sso/acme",
        "/nowhere",
        "/c/acme/messages?sender=%22%3E%3Cscript%3E",
    ):
        answer = await browser.get(path)
        assert answer.headers.get("content-security-policy") == POLICY, path
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["strict-transport-security"]
        assert "<script" not in answer.text
        assert not re.search(r"\son\w+=|style=", answer.text), path
        assert "evil.test" not in answer.text  # the Host that every request of these tests has
    shown = await browser.fill("/c/acme/domains", evil)
    assert shown.status == 409
    assert "<script" not in shown.text
    assert (await browser.api("POST", "/customers", {"x": "y" * 300_000})).status == 413


# --- licences at the door


async def test_a_lapsed_customer_sees_renewal_alone_and_everything_is_there_after_it(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    await browser.fill("/c/acme/domains", {"name": "acme.test"})
    program = await token(house, Role.OWNER, "acme")
    async with house.book.database.writing() as connection:
        await connection.execute(update(TOKENS).values(expires_at=1e12))
    house.clock.advance(45 * DAY)  # in grace
    again = {"address": "owner@acme.test", "password": PASSWORD}
    await browser.post("/login", again)
    assert "Everything goes on" in (await browser.get("/c/acme/domains")).text
    house.clock.advance(20 * DAY)  # lapsed
    await browser.post("/login", again)
    for path in ("domains", "accounts", "audit", "messages", "tokens"):
        assert (await browser.get(f"/c/acme/{path}")).to == "/c/acme/licence", path
    assert (await program.api("GET", "/customers/acme/domains")).status == 402
    assert (await browser.get("/c/acme")).status == 200
    until = house.clock.now() + 365 * DAY
    terms = Terms(id="01K", customer="globex", users=9, since=house.clock.now(), until=until)
    wrong = await browser.fill("/c/acme/licence", {"key": issue_key(house.licences, terms)})
    assert "another customer" in wrong.text
    key = issue_key(house.licences, msgspec.structs.replace(terms, customer="acme"))
    assert (await browser.fill("/c/acme/licence", {"key": key})).status == 303
    assert "acme.test" in (await browser.get("/c/acme/domains")).text
    assert (await program.api("GET", "/customers/acme/licence")).json["state"] == "full"
    assert (await browser.fill("/c/acme/licence", {"key": key})).status == 409  # twice is once


async def test_secrets_stand_nowhere_in_the_database(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    link = await house.customer("initech")
    made = await browser.fill("/c/acme/tokens", {"action": "make", "label": "x", "scope": ["self", "domains.show"]})
    shown = re.search(r"gpc_\w{26}_([\w-]{43})", made.text)
    assert shown is not None
    secrets = [link[-43:], browser.cookies["__Host-gatepost"][27:], shown[1], PASSWORD]
    async with house.book.reading() as connection:
        dumped = ""
        for table in ACCOUNTS.metadata.tables.values():
            dumped += repr((await connection.execute(select(table))).all())
    assert [secret for secret in secrets if secret in dumped] == []
    assert "$argon2id$" in dumped


def test_tables_name_a_customer_or_hang_on_an_account() -> None:
    without = {
        table.name
        for table in ACCOUNTS.metadata.tables.values()
        if not {"customer", "account", "user"} & set(table.c.keys()) and table is not CUSTOMERS
    }
    assert without == {"console_outbox", "console_leases", "console_failures"}


def test_openapi_in_the_docs_is_what_the_code_says_and_names_a_scope_for_each_operation() -> None:
    described = spec()
    assert json.loads(PATH.read_text()) == described
    operations = [each for path in described["paths"].values() for each in path.values()]
    assert {each["operationId"] for each in operations} == EXPECTED.keys()
    assert all(Act(each["x-gatepost-scope"]) and each["summary"] for each in operations)
