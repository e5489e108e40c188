"""The console on a real database: SQLite, and PostgreSQL where GATEPOST_TEST_POSTGRES names an empty one."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select

from schemas.catalog import CUSTOMERS
from schemas.events import Customer, Domain
from services.console import models
from services.console.book import FOLDER, Author, written
from services.console.caller import Caller, Refused
from services.console.models_signin import Code
from services.console.outbox import Outbox
from services.console.roles import Role
from services.console.tables import DOMAINS, METADATA, OUTBOX
from services.console.totp import STEP, code_at
from services.console.users.models import EndUsersTable, NewEndUser
from services.console.users.people import seen_by
from services.core.errors import DatabaseUnavailable
from services.runtime.database import Database, database_url
from services.runtime.migrate import migrate
from tests.house.console import OPERATOR, PASSWORD, ConsoleHouse, console_house
from tests.migrations import differences
from tests.parts import named


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'console.db'}"
    return named("GATEPOST_TEST_POSTGRES", "empty PostgreSQL database")


@pytest.fixture
async def house(url: str, tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path, url) as house:
        await empty(house)
        yield house
        await empty(house)


async def empty(house: ConsoleHouse) -> None:
    async with house.book.database.writing() as connection:
        for table in reversed(METADATA.sorted_tables):
            await connection.execute(delete(table))


async def test_the_migrations_make_exactly_the_tables_that_the_code_knows(url: str) -> None:
    database = Database(database_url(url))
    await migrate(database.url, FOLDER)
    async with database.writing() as connection:
        found = await differences(connection, "console_version", METADATA)
    await database.close()
    assert found == []


async def test_users_come_change_and_go(house: ConsoleHouse) -> None:
    await house.customer("acme")
    async with house.book.change(Author("test")) as change:
        spec = written(Domain(name="acme.test", relay=()))
        row = {"name": "acme.test", "customer": "acme", "place": 0, "spec": spec, "made_at": 0.0}
        await change.connection.execute(insert(DOMAINS), [row])
    owner = Caller(account="o", customer="acme", role=Role.OWNER, address="o@acme.test")
    users = house.desk.users
    table = "address,aliases,kind,members\nann@acme.test,a@acme.test,,\nteam@acme.test,,group,ann@acme.test\n"
    done = await users.import_users(owner, customer="acme", body=EndUsersTable(csv=table, invite=True))
    assert (done.added, done.left_out) == (2, [])
    found = {each.address: each for each in (await users.users(owner, customer="acme", search="acme")).users}
    group = await users.user(owner, customer="acme", user=found["team@acme.test"].id)
    assert group.members == ["ann@acme.test"]
    async with house.book.reading() as connection:
        seen = await seen_by(connection, "acme", found["ann@acme.test"].id)
    assert seen == ["a@acme.test", "ann@acme.test", "team@acme.test"]
    with pytest.raises(Refused):
        await users.add_user(owner, customer="acme", body=NewEndUser(address="A@acme.test"))
    await house.settle()
    assert house.post.sent[-1][0].kind == "user-activate"
    less = EndUsersTable(csv="team@acme.test,,", replace=True)
    with pytest.raises(Refused):
        await users.import_users(owner, customer="acme", body=EndUsersTable(csv="x@elsewhere.test"))
    assert (await users.import_users(owner, customer="acme", body=less)).left_out == ["team@acme.test"]  # it is a group
    assert [each.address for each in (await users.users(owner, customer="acme")).users] == ["team@acme.test"]
    await house.desk.customers.remove_customer(OPERATOR, customer="acme")


async def test_the_way_in_and_out(house: ConsoleHouse) -> None:
    await house.customer("acme")
    browser = await house.person(Role.OWNER)
    await browser.fill("/c/acme/domains", {"name": "acme.test"})
    proof = re.search(r"gatepost-domain=\w+", (await browser.get("/c/acme/domains/acme.test")).text)
    assert proof is not None
    house.dns.zone["_gatepost.acme.test", "TXT"] = (proof[0].encode(),)
    assert (await browser.fill("/c/acme/domains/acme.test", {"action": "prove"})).status == 303
    route = {"action": "route", "relay": "mx.acme.test", "tls": "", "recipients": "any"}
    assert (await browser.fill("/c/acme/domains/acme.test", route)).status == 303
    await house.settle()
    found = house.published("acme")
    assert found is not None
    assert [domain.name for domain in found.domains] == ["acme.test"]
    for path in ("domains", "accounts", "tokens", "audit", "messages", "licence"):
        assert (await browser.get(f"/c/acme/{path}")).status == 200
    await house.desk.customers.remove_customer(OPERATOR, customer="acme")
    await house.settle()
    assert house.published("acme") is None
    assert (await browser.get("/c/acme")).to == "/login"


async def test_changes_of_one_customer_at_once_are_published_in_the_order_in_which_they_count(
    house: ConsoleHouse,
) -> None:
    """Ten at a time, and a relay that empties the outbox meanwhile: the topic ends as the database does."""
    await house.customer("acme")
    author = Author("test")

    async def rename(number: int) -> None:
        async with house.book.change(author) as change:
            await change.hold("acme")
            body = models.NewDomain(name=f"d{number}.test")
            await change.note("acme", "tried", body.name)
        await house.desk.domains.add_domain(OPERATOR, customer="acme", body=body)
        house.dns.zone[f"_gatepost.{body.name}", "TXT"] = (
            (await house.desk.domains.domain(OPERATOR, customer="acme", name=body.name)).proof.encode(),
        )
        await house.desk.domains.prove_domain(OPERATOR, customer="acme", name=body.name)
        routing = models.Routing(relay=[models.Relay(host=f"mx{number}.acme.test")])
        await house.desk.domains.route_domain(OPERATOR, customer="acme", name=body.name, body=routing)

    done = asyncio.gather(*(rename(number) for number in range(10)))
    while not done.done():
        await house.outbox.turn()
        await asyncio.sleep(0)
    await done
    await house.settle()
    found = house.published("acme")
    assert found is not None
    assert {domain.name for domain in found.domains} == {f"d{number}.test" for number in range(10)}
    counts = [len(event.domains) for event in house.bus.events(CUSTOMERS) if isinstance(event, Customer)]
    assert counts == sorted(counts)


async def test_a_domain_is_one_customers_whoever_is_first(house: ConsoleHouse) -> None:
    for name in ("acme", "globex"):
        await house.customer(name)
        await house.desk.domains.add_domain(OPERATOR, customer=name, body=models.NewDomain(name="both.test"))
    claims = [await house.desk.domains.domain(OPERATOR, customer=name, name="both.test") for name in ("acme", "globex")]
    house.dns.zone["_gatepost.both.test", "TXT"] = tuple(claim.proof.encode() for claim in claims)
    ends = await asyncio.gather(
        *(house.desk.domains.prove_domain(OPERATOR, customer=name, name="both.test") for name in ("acme", "globex")),
        return_exceptions=True,
    )
    refused = [end for end in ends if isinstance(end, Refused | DatabaseUnavailable)]
    assert len(refused) == 1, ends


async def test_two_relays_share_one_outbox_without_a_record_too_few(house: ConsoleHouse) -> None:
    relays = [house.outbox, Outbox(house.book, house.bus, house.post, "two")]
    for name in ("one", "two", "three"):
        await house.desk.customers.add_customer(OPERATOR, body=models.NewCustomer(id=name, owner=f"a@{name}.test"))
        await asyncio.gather(*(relay.turn() for relay in relays))
    await house.settle()
    assert {event.id for event in house.bus.events(CUSTOMERS) if isinstance(event, Customer)} == {"one", "two", "three"}
    async with house.book.reading() as connection:
        assert (await connection.execute(select(OUTBOX))).all() == []


async def test_of_two_who_show_the_same_code_at_once_one_is_let_in(house: ConsoleHouse) -> None:
    await house.customer("acme")
    browser = await house.person(Role.ADMINISTRATOR, address="ann@acme.test")
    me = await house.signin.session(browser.cookies["__Host-gatepost"], "")
    assert me is not None
    shown = await house.desk.factors.begin_totp(me)
    seed = base64.b32decode(shown.secret.replace(" ", ""))
    await house.desk.factors.confirm_totp(me, body=Code(code=code_at(seed, house.clock.now())))
    house.clock.advance(STEP)
    code = code_at(seed, house.clock.now())
    begun = [await house.signin.login("ann@acme.test", PASSWORD, "", "") for _ in range(4)]
    tried = [house.signin.second(each.text, code, "", "") for each in begun]
    found = await asyncio.gather(*tried, return_exceptions=True)
    assert sorted(type(each).__name__ for each in found) == ["Refused", "Refused", "Refused", "Session"]
