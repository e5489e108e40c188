"""End-user management: by hand, by a table, by the directory; and the mails with which users begin."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.catalog import RECEIVED
from schemas.events import LdapSource, Received, Recipient
from services.console.caller import Caller, Refused
from services.console.outbox import LEASE, Outbox
from services.console.roles import Role
from services.console.users import models
from services.console.users.decide import Known, Person, parse_table, plan
from services.console.users.readings import AGAIN, EVERY, Readings
from services.console.users.tables import CSV, HAND, Kind
from services.core.asked import Entry
from services.core.directory import recipient_digest
from services.core.errors import ConfigError
from services.core.stored import unpack
from services.runtime.fakes_store import MemoryStore
from tests.house.console import PASSWORD, USERS
from tests.house.users import UsersHouse, users_house

OWNER = Caller(account="o", customer="acme", role=Role.OWNER, address="owner@acme.test")
OTHER = dataclasses.replace(OWNER, customer="globex", address="owner@globex.test")
DOMAINS = ("acme.test", "alt.test")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[UsersHouse]:
    async with users_house(tmp_path) as house:
        yield house


async def names(house: UsersHouse, search: str = "") -> list[str]:
    found = await house.console.desk.users.users(OWNER, customer="acme", search=search)
    return [each.address for each in found.users]


# --- pure


def known(identity: str, address: str, *aliases: str, source: str = HAND, entry: str = "") -> Known:
    return Known(identity, source, Person(address=address, aliases=frozenset(aliases), entry=entry))


def test_a_table_says_who_there_is() -> None:
    text = (
        "Name;E-Mail;Aliases;Kind;Members\n"
        "Anna;ANNA@acme.test;a@alt.test b@acme.test;;\n"
        ";info@acme.test;;group;anna@acme.test\n"
    )
    anna, info = parse_table(text, DOMAINS)
    assert (anna.address, anna.name, set(anna.aliases)) == ("anna@acme.test", "Anna", {"a@alt.test", "b@acme.test"})
    assert (info.kind, set(info.members or ()), info.name) == (Kind.GROUP, {"anna@acme.test"}, "")
    assert [each.address for each in parse_table("x@acme.test\n\ny@acme.test,Ypsilon", DOMAINS)] == [
        "x@acme.test",
        "y@acme.test",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x@elsewhere.test", "line 1"),
        ("address,kind\nx@acme.test,robot", "line 2: kind"),
        ("x@acme.test\nX@acme.test", "line 2"),
        ("address,aliases\nx@acme.test,y@elsewhere.test", "line 2"),
        ("", "no address"),
        ('"x@acme.test', "not CSV"),
    ],
)
def test_half_a_table_is_none(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_table(text, DOMAINS)


def test_a_directory_takes_over_by_the_first_address_and_takes_nobodys() -> None:
    there = [known("1", "anna@acme.test", "boss@acme.test"), known("2", "bob@acme.test", source="ldap:x", entry="e2")]
    said = [
        Person(address="anna@acme.test", aliases=frozenset({"a@acme.test", "bob@acme.test"}), entry="e1"),
        Person(address="boss@acme.test", entry="e3"),
        Person(address="robert@acme.test", aliases=frozenset({"bob@acme.test"}), entry="e2"),
    ]
    what = plan(there, said, "ldap:x", replace=True)
    assert [(before.id, person.address, set(person.aliases)) for before, person in what.changed] == [
        ("1", "anna@acme.test", {"a@acme.test"}),
        ("2", "robert@acme.test", {"bob@acme.test"}),
    ]
    assert what.added == ()  # boss@ is an alias of anna: her password would open it
    assert what.left_out == ("bob@acme.test", "boss@acme.test")
    assert what.removed == ()
    gone = plan(there, [], "ldap:x", replace=True)
    assert [each.id for each in gone.removed] == ["2"]
    assert plan(there, [], "ldap:x", replace=False).removed == ()


def test_the_same_again_changes_nothing() -> None:
    said = [Person(address="anna@acme.test", aliases=frozenset({"a@acme.test"}), entry="e1", name="Anna")]
    there = [Known("1", "ldap:x", said[0])]
    what = plan(there, said, "ldap:x", replace=True)
    assert (what.added, what.changed, what.removed, what.left_out) == ((), (), (), ())


# --- by hand


async def test_from_the_page_to_the_mail_to_the_first_session(house: UsersHouse) -> None:
    owner = await house.console.person(Role.OWNER, "acme")
    page = "/c/acme/users"
    form = {"action": "add", "kind": "user", "address": "Anna@acme.test", "name": "Anna", "aliases": "a@acme.test"}
    assert (await owner.fill(page, {**form, "invite": "yes"})).to.endswith("?done=user-added")
    assert (await owner.fill(page, form)).status == 409  # there already
    assert (await owner.fill(page, {**form, "address": "x@elsewhere.test"})).status == 409
    assert (await owner.fill(page, {**form, "address": "b@acme.test", "aliases": "A@acme.test"})).status == 409
    assert "anna@acme.test" in (await owner.get(page)).text
    await house.console.settle()
    order, link = house.console.post.sent[-1]
    assert order.kind == "user-activate"
    anna = house.browser()
    form = {"address": "a@acme.test", "password": PASSWORD, "again": PASSWORD}
    assert (await anna.post(f"/link/{link}", form)).to == "/?done=password-set"
    passwords = f"{page}/passwords"
    listed = (await owner.get(passwords)).text
    assert "Reset the password" in listed
    (user,) = [each.id for each in (await house.console.desk.users.users(OWNER, customer="acme")).users]
    assert (await owner.fill(passwords, {"action": "link", "user": user})).to.endswith("done=link-sent")
    await house.console.settle()
    order, link = house.console.post.sent[-1]
    assert order.kind == "user-reset"
    assert (await house.browser().post("/login", form)).status == 303  # the old one works until the link is used
    new = "an altogether other one"
    assert (await anna.post(f"/link/{link}", {**form, "password": new, "again": new})).status == 303
    assert (await house.browser().post("/login", form)).status == 409
    assert (await owner.fill(f"{page}/{user}", {"action": "close"})).status == 303
    assert (await anna.get("/")).to == "/login"
    assert (await owner.fill(f"{page}/{user}", {"action": "remove"})).to == f"{page}?done=user-removed"
    assert await names(house) == []


async def test_the_activation_mail_is_accepted_mail_to_the_users_own_host_in_his_language(house: UsersHouse) -> None:
    console, store = house.console, MemoryStore()
    path = console.mail_path(store)
    body = models.NewEndUser(address="anna@acme.test", language="it")
    await console.desk.users.add_user(OWNER, customer="acme", body=body)
    outbox = Outbox(console.book, console.bus, path)
    before = len(console.bus.events(RECEIVED))
    console.clock.advance(LEASE + 1)  # the other relay's turn is over
    while await outbox.turn():
        pass
    (event,) = console.bus.events(RECEIVED)[before:]
    assert isinstance(event, Received)
    assert (event.customer, event.own, event.envelope.recipients) == ("acme", "account", ("anna@acme.test",))
    said = bytes(unpack(store.objects[event.key])[1]).decode()
    assert "inserisci il tuo indirizzo" in said
    assert "evil" not in said  # the tests' Host
    found = re.search(rf"{re.escape(USERS)}(/link/\S+)\r", said)
    assert found is not None
    form = {"address": "anna@acme.test", "password": PASSWORD, "again": PASSWORD}
    assert (await house.browser().post(found[1], form)).status == 303


async def test_a_group_has_members_and_no_password(house: UsersHouse) -> None:
    users = house.console.desk.users
    anna = await users.add_user(OWNER, customer="acme", body=models.NewEndUser(address="anna@acme.test", invite=False))
    body = models.NewEndUser(address="info@acme.test", kind="group", members=["anna@acme.test", "nobody@acme.test"])
    group = await users.add_user(OWNER, customer="acme", body=body)
    assert group.members == ["anna@acme.test"]
    assert (await users.user(OWNER, customer="acme", user=anna.id)).groups == ["info@acme.test"]
    with pytest.raises(Refused):
        await users.user_link(OWNER, customer="acme", user=group.id)
    changed = models.EndUserChange(members=[], name="Information")
    shown = await users.change_user(OWNER, customer="acme", user=group.id, body=changed)
    assert (shown.members, shown.name) == ([], "Information")
    assert (await users.users(OWNER, customer="acme", search="INFORM")).users[0].id == group.id
    assert await names(house, "anna@") == ["anna@acme.test"]


async def test_the_groups_of_the_directory_that_somebody_is_in_are_shown(house: UsersHouse) -> None:
    console = house.console
    acme = console.directory.customer("acme")
    assert acme is not None
    body = models.NewEndUser(address="dora@acme.test", aliases=["d@acme.test"])
    dora = await console.desk.users.add_user(OWNER, customer="acme", body=body)
    owner = await console.person(Role.OWNER)
    assert "directory:" not in (await owner.get(f"/c/acme/users/{dora.id}")).text
    for address, names in (("dora@acme.test", ("sales",)), ("d@acme.test", ("sales", "board"))):
        digest = recipient_digest(acme.salt, address)
        console.directory.apply(Recipient(customer="acme", digest=digest, source="csv", groups=names))
    assert "directory:board, directory:sales" in (await owner.get(f"/c/acme/users/{dora.id}")).text


async def test_another_customers_user_is_nobody_here(house: UsersHouse) -> None:
    users = house.console.desk.users
    body = models.NewEndUser(address="eve@globex.test", invite=False)
    eve = await users.add_user(OTHER, customer="globex", body=body)
    owner = await house.console.person(Role.OWNER, "acme")
    page = f"/c/acme/users/{eve.id}"
    assert (await owner.get(page)).status == 404
    for action in ("save", "close", "link", "remove"):
        assert (await owner.fill_from("/c/acme/users", page, {"action": action})).status == 404, action
    assert (await owner.get(f"/c/globex/users/{eve.id}")).status == 404
    assert await names(house) == []
    await house.console.settle()
    assert all(order.account != eve.id for order, _ in house.console.post.sent)
    assert (await users.user(OTHER, customer="globex", user=eve.id)).closed is False


# --- by a table, by the directory


async def test_a_table_is_taken_in_and_replaced(house: UsersHouse) -> None:
    owner = await house.console.person(Role.OWNER, "acme")
    page = "/c/acme/users"
    table = (
        "address,name,aliases,kind,members\n"
        "anna@acme.test,Anna,a@acme.test,,\n"
        "bob@acme.test,,,,\n"
        "info@acme.test,,,group,a@acme.test\n"
    )
    answer = await owner.fill(page, {"action": "table", "csv": table, "invite": "yes"})
    assert "3 added, 0 changed, 0 removed." in answer.text
    await house.console.settle()
    assert [order.kind for order, _ in house.console.post.sent[-2:]] == ["user-activate"] * 2
    assert "0 added, 0 changed, 0 removed." in (await owner.fill(page, {"action": "table", "csv": table})).text
    less = "address,name\nanna@acme.test,Anna B."
    answer = await owner.fill(page, {"action": "table", "csv": less, "replace": "yes"})
    assert "0 added, 1 changed, 2 removed." in answer.text
    assert await names(house) == ["anna@acme.test"]
    wrong = await owner.fill(page, {"action": "table", "csv": "x@elsewhere.test"})
    assert (wrong.status, "line 1" in wrong.text) == (409, True)
    assert "x@elsewhere.test" in wrong.text  # what was written is not lost
    found = await house.console.desk.users.users(OWNER, customer="acme")
    assert found.users[0].source == CSV


async def test_the_directory_is_read_and_never_believed_when_nearly_all_are_gone(house: UsersHouse) -> None:
    source = LdapSource(name="main", url="ldaps://l.test", base="dc=l")
    await house.domain("acme", "alt.test", directory=(source,))
    people = house.console.people
    people.entries["main"] = [
        Entry(id=f"e{number}", addresses=(f"u{number}@acme.test",), name=f"U {number}") for number in range(10)
    ] + [Entry(id="g", addresses=("team@acme.test",), group=True, members=("u1@acme.test", "u2@acme.test"))]
    users = house.console.desk.users
    done = await users.read_users(OWNER, customer="acme")
    assert (done.added, done.changed, done.removed) == (11, 0, 0)
    team = (await users.users(OWNER, customer="acme", search="team")).users[0]
    assert (await users.user(OWNER, customer="acme", user=team.id)).members == ["u1@acme.test", "u2@acme.test"]
    with pytest.raises(Refused, match="directory"):
        await users.change_user(OWNER, customer="acme", user=team.id, body=models.EndUserChange(name="x"))
    people.entries["main"] = [
        Entry(id="e0", addresses=("zero@acme.test", "u0@acme.test"), name="U 0"),
        *people.entries["main"][2:],
    ]
    done = await users.read_users(OWNER, customer="acme")
    assert (done.added, done.changed, done.removed) == (0, 1, 1)
    people.entries["main"] = people.entries["main"][:2]
    with pytest.raises(Refused, match="drop"):
        await users.read_users(OWNER, customer="acme")
    people.down = True
    with pytest.raises(Refused, match="away"):
        await users.read_users(OWNER, customer="acme")
    assert len(await names(house)) == 10


async def test_directories_are_read_every_hour_and_sooner_when_one_was_away(house: UsersHouse) -> None:
    await house.domain("acme", "alt.test", directory=(LdapSource(name="main", url="ldaps://l.test", base="dc=l"),))
    people, users = house.console.people, house.console.desk.users
    people.entries["main"] = [Entry(id="e1", addresses=("anna@acme.test",))]
    readings = Readings(house.console.book, users)
    people.down = True
    assert await readings.read_due() == 1
    assert await readings.read_due() == 0
    people.down = False
    house.clock.advance(AGAIN + 1)
    assert await readings.read_due() == 1
    assert await names(house) == ["anna@acme.test"]
    house.clock.advance(AGAIN + 1)
    assert await readings.read_due() == 0
    house.clock.advance(EVERY)
    assert await readings.read_due() == 1


async def test_links_go_to_everybody_without_a_password_and_with_the_customer_all_go(house: UsersHouse) -> None:
    await house.signed_in("acme", "anna@acme.test")
    await house.person("acme", "bob@acme.test")
    users = house.console.desk.users
    assert (await users.invite_users(OWNER, customer="acme")).count == 1
    operator = Caller(account="op", customer="", role=Role.OPERATOR, address="op@console.test")
    await house.console.desk.customers.remove_customer(operator, customer="acme")
    await house.console.settle()  # the mail's user is gone, and nothing is sent
    assert await names(house) == []
    assert (await house.browser().post("/login", {"address": "anna@acme.test", "password": PASSWORD})).status == 409
