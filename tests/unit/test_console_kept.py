"""Customers of the customers file, in the console: looked at, taken over just as they are, and by operators alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from schemas.events import Customer, Domain, Host, Match, Recipient, Rule
from services.console.export import to_yaml
from services.console.roles import Role
from services.core.customers import CustomerSpec
from services.core.directory import recipient_digest
from tests.house.console import OPERATOR, ConsoleHouse, console_house

FILED = Customer(
    id="filed",
    name="Filed & Sons",
    salt="ab" * 16,
    domains=(Domain(name="filed.test", relay=(Host(host="198.41.0.4"),), any_recipient=True),),
    rules=(Rule(name="far", when=Match(senders=("@far.test",)), tag_subject="[far]"),),
)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        await house.bus.publish([FILED])
        await house.settle()
        yield house


async def test_a_customer_of_the_file_is_shown_and_taken_over_just_as_it_is(house: ConsoleHouse) -> None:
    operator = await house.person(Role.OPERATOR, "")
    page = (await operator.get("/customers")).text
    assert ('href="/kept/filed"' in page, 'href="/kept/acme"' in page, "Filed &amp; Sons" in page) == (
        True,
        False,
        True,
    )
    page = (await operator.get("/kept/filed")).text
    assert "is kept by the customers file" in page
    assert "name: filed.test" in page
    assert (await operator.get("/kept/acme")).status == 404
    assert (await operator.get("/c/filed")).status == 404
    assert (await operator.fill("/kept/filed", {})).to == "/c/filed/accounts?done=taken-over"
    await house.settle()
    taken = house.published("filed")
    assert taken is not None
    plain = msgspec.structs.replace(taken, origin="", trial=FILED.trial, lapses_at=0.0)
    assert plain == FILED  # its salt too: what other sources brought stays its
    exported = await house.desk.customers.export(OPERATOR, customer="filed")
    assert exported.yaml == to_yaml([CustomerSpec(FILED)])
    assert (await operator.get("/c/filed/domains/filed.test")).status == 200
    assert (await operator.get("/kept/filed")).status == 404


async def test_listed_recipients_are_in_the_file_alone(house: ConsoleHouse) -> None:
    await house.bus.publish([Recipient(customer="filed", digest=recipient_digest(FILED.salt, "ann@filed.test"))])
    await house.settle()
    operator = await house.person(Role.OPERATOR, "")
    page = (await operator.get("/kept/filed")).text
    assert "gatepost console import FILE" in page
    assert "<button>Take over" not in page
    answer = await operator.fill("/kept/filed", {})
    assert (answer.status, "only the file has the addresses" in answer.text) == (409, True)
    await house.settle()
    assert house.published("filed") == FILED


async def test_only_operators_see_and_take_over(house: ConsoleHouse) -> None:
    for role in (Role.OWNER, Role.ADMINISTRATOR):
        browser = await house.person(role)
        assert (await browser.get("/kept/filed")).status in {403, 404}
        assert (await browser.fill_from("/me", "/kept/filed", {})).status in {403, 404}
    await house.settle()
    assert house.published("filed") == FILED
