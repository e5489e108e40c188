"""Known and unknown accounts cost the same work: the same statements, the same hashes, the same questions.

Not times: what is asserted is what takes them. Both consoles, and whatever is the matter with an account.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from services.console.caller import Caller, Refused
from services.console.credentials import Passwords
from services.console.roles import Role
from services.console.signin import SignIn
from services.console.throttle import WINDOW
from services.console.users.models import EndUserChange, NewEndUser
from services.console.users.signin import UserSignIn
from services.core.asked import Entry
from services.runtime.database import Database
from tests.house.console import PASSWORD, ConsoleHouse
from tests.house.users import UsersHouse, users_house

OWNER = Caller(account="o", customer="acme", role=Role.OWNER, address="owner@acme.test")
CLIENT, WRONG = "192.0.2.1", "not this one at all"


class Counting(Passwords):
    """Counts the hashes that it makes."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_kib=8)
        self.hashes = 0

    def _verify(self, stored: str, password: str) -> bool:
        assert stored.startswith("$argon2id$")
        self.hashes += 1
        return super()._verify(stored, password)


@contextlib.contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Note each statement that the database is given, without its values."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        found.append(statement)

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[UsersHouse]:
    async with users_house(tmp_path) as house:
        yield house


async def accounts(house: ConsoleHouse) -> dict[str, str]:
    """Return an address of each sort of account."""
    await house.person(Role.OWNER, address="known@acme.test")
    invited = await house.desk.accounts.accounts(OWNER, customer="acme")
    assert "first@acme.test" in {each.address for each in invited.accounts}
    await house.person(Role.AUDITOR, address="closed@acme.test")
    async with house.book.database.writing() as connection:
        await connection.exec_driver_sql("UPDATE console_accounts SET closed_at = 1 WHERE address = 'closed@acme.test'")
    return {
        "with a password": "known@acme.test",
        "invited": "first@acme.test",
        "closed": "closed@acme.test",
        "none": "nobody@acme.test",
        "of nobody": "nobody@nowhere.test",
    }


async def users(house: UsersHouse) -> dict[str, str]:
    """Return an address of each sort of user."""
    await house.signed_in("acme", "anna@acme.test")
    await house.person("acme", "new@acme.test")
    closed = await house.person("acme", "closed@acme.test")
    management = house.console.desk.users
    await management.change_user(OWNER, customer="acme", user=closed, body=EndUserChange(closed=True))
    group = NewEndUser(address="team@acme.test", kind="group", invite=False)
    await management.add_user(OWNER, customer="acme", body=group)
    return {
        "with a password": "anna@acme.test",
        "without one": "new@acme.test",
        "closed": "closed@acme.test",
        "a group": "team@acme.test",
        "none": "nobody@acme.test",
    }


async def test_a_wrong_password_costs_the_same_for_whatever_account(house: UsersHouse) -> None:
    console, passwords = house.console, Counting()
    signin = SignIn(console.book, passwords, by_client=100, by_subject=100)
    work = {}
    for sort, address in (await accounts(console)).items():
        before = passwords.hashes
        with statements(console.book.database) as found, pytest.raises(Refused, match=r"login\.wrong"):
            await signin.login(address, WRONG, CLIENT, "")
        work[sort] = (found, passwords.hashes - before)
    first = work.pop("none")
    assert first[1] == 1
    assert len(first[0]) > 2
    assert {sort for sort, each in work.items() if each != first} == set()


async def test_a_wrong_password_costs_the_same_for_whatever_user(house: UsersHouse) -> None:
    console, passwords = house.console, Counting()
    console.people.entries["main"] = [Entry(id="b", addresses=("lea@ldap.test",))]
    signin = UserSignIn(
        console.book, passwords, console.directory, console.people, by_client=100, by_subject=100, pause=house._pause
    )
    work = {}
    for sort, address in (await users(house)).items():
        hashes, asked = passwords.hashes, len(console.people.asked)
        with statements(console.book.database) as found, pytest.raises(Refused, match=r"login\.wrong"):
            await signin.login(address, WRONG, CLIENT, "")
        work[sort] = (found, passwords.hashes - hashes, len(console.people.asked) - asked)
    first = work.pop("none")
    assert first[1] == 1
    assert {sort for sort, each in work.items() if each != first} == set()


async def test_a_forgotten_password_costs_the_same_for_whoever_asks(house: UsersHouse) -> None:
    console = house.console
    both = ((console.signin, await accounts(console)), (house.signin, await users(house)))
    await console.settle()
    for signin, sorts in both:
        work = {}
        for sort, address in sorts.items():
            with statements(console.book.database) as found:
                await signin.forgot(address, CLIENT)
            work[sort] = found
        first = work.pop("none")
        assert {sort for sort, each in work.items() if each != first} == set()
        assert any("console_outbox" in each for each in first)
    before = len(console.post.sent)
    await console.settle()
    sent = [order.account for order, _ in console.post.sent[before:]]
    assert len(sent) == 4  # of either console the one with a password and the one without
    assert all(sent)


async def test_who_is_locked_out_is_locked_out_for_all_alike_and_the_right_password_opens_nothing(
    house: UsersHouse,
) -> None:
    sorts = {"users": await users(house), "accounts": await accounts(house.console)}
    for name, place in (("users", house), ("accounts", house.console)):
        answers = {}
        for number, (sort, address) in enumerate(sorts[name].items()):
            browser = place.browser(f"192.0.2.{number + 20}")
            form = {"address": address, "password": WRONG}
            tried = [await browser.post("/login", form) for _ in range(9)]
            answers[sort] = [(each.status, each.text.replace(address, "ADDRESS")) for each in tried]
        assert len({str(each) for each in answers.values()}) == 1, name
        known = {"address": sorts[name]["with a password"], "password": PASSWORD}
        assert (await place.browser("192.0.2.99").post("/login", known)).status == 409
        house.clock.advance(WINDOW + 1)
        assert (await place.browser("192.0.2.99").post("/login", known)).status == 303
