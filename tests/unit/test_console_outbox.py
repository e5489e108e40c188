"""The outbox: a change is in both, database and topics, or in neither; in order, whatever fails between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from schemas.catalog import CUSTOMERS, RECIPIENTS
from schemas.events import Customer, Domain, Host, Recipient
from services.console import models
from services.console.book import Author
from services.console.caller import Refused
from services.console.outbox import LEASE, SETTLED, Outbox
from services.console.tables import AUDIT, OUTBOX
from services.console.tables import CUSTOMERS as ROWS
from services.core.address import Address, parse
from services.core.customers import CustomerSpec, parse_customers
from services.core.errors import BadAddress, BusUnavailable, StoreUnavailable
from services.runtime.customers_plan import plan
from services.runtime.yaml_tree import read_tree
from tests.house.console import OPERATOR, ConsoleHouse, console_house

ME = Author("me")
EXAMPLE = Path(__file__).parents[2] / "docs" / "gatepost.example.yaml"
RELAY = (Host(host="mx.acme.test"),)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        yield house


async def count(house: ConsoleHouse, table: object) -> int:
    async with house.book.reading() as connection:
        return int(await connection.scalar(select(func.count()).select_from(table)) or 0)  # type: ignore[arg-type]  # a Table


def spec(*recipients: str, name: str = "Acme", domains: tuple[str, ...] = ("acme.test",)) -> CustomerSpec:
    listed = tuple(Domain(name=domain, relay=RELAY) for domain in domains)
    return CustomerSpec(Customer(id="acme", name=name, domains=listed), recipients)


async def test_what_fails_in_the_middle_leaves_neither_row_nor_line_nor_record(house: ConsoleHouse) -> None:

    async def fails() -> None:
        async with house.book.change(ME) as change:
            await change.hold("acme")
            await change.note("acme", "tried", "x")
            await change.send(CUSTOMERS, "acme", Customer(id="acme"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    other = CustomerSpec(Customer(id="globex", domains=(Domain(name="acme.test", relay=RELAY),)))
    with pytest.raises(Refused):  # the second of two customers has a domain of the first
        await house.desk.customers.take_in([spec("a@acme.test"), other], ME)
    assert [await count(house, table) for table in (ROWS, AUDIT, OUTBOX)] == [0, 0, 0]


async def test_a_change_that_nobody_can_see_later_is_a_defect(house: ConsoleHouse) -> None:
    async def silent() -> None:
        async with house.book.change(ME) as change:
            await change.send(CUSTOMERS, "acme", Customer(id="acme"))

    with pytest.raises(AssertionError, match="audit"):
        await silent()
    assert await count(house, OUTBOX) == 0


async def test_import_publishes_what_the_customers_file_publishes(house: ConsoleHouse) -> None:
    specs = parse_customers(read_tree(EXAMPLE))
    await house.desk.customers.take_in(specs, ME)
    await house.settle()
    ours = {event.id: event for event in house.bus.events(CUSTOMERS) if isinstance(event, Customer)}
    salts = {key: bytes.fromhex(event.salt) for key, event in ours.items()}
    order = iter([salts[spec.customer.id] for spec in specs])
    theirs = plan(specs, {}, {}, lambda _: next(order))
    assert {event.id: event for event in theirs if isinstance(event, Customer)} == {
        key: _as_the_file_has_it(event) for key, event in ours.items()
    }
    assert {event for event in theirs if isinstance(event, Recipient)} == set(house.bus.events(RECIPIENTS))


NOT_IN_FILE = {"origin", "lapses_at", "trial"}  # what the console adds


def _as_the_file_has_it(event: Customer) -> Customer:
    return Customer(**{name: getattr(event, name) for name in Customer.__struct_fields__ if name not in NOT_IN_FILE})


async def test_a_second_import_changes_what_is_different_and_a_removal_takes_all_away(house: ConsoleHouse) -> None:
    assert await house.desk.customers.take_in([spec("a@acme.test", "b@acme.test")], ME) == 1
    await house.settle()
    before = len(house.bus.events(RECIPIENTS))
    assert await house.desk.customers.take_in([spec("a@acme.test", "b@acme.test")], ME) == 0
    assert await house.desk.customers.take_in([spec("b@acme.test", "c@acme.test", name="New")], ME) == 1
    await house.settle()
    assert len(house.bus.events(RECIPIENTS)) == before + 1  # c; a went by a tombstone
    found = house.published("acme")
    assert found is not None
    assert found.name == "New"
    assert [house.directory.recipient_known(found, found.domains[0], address) for address in _addresses()] == [
        False,
        True,
        True,
    ]
    await house.desk.customers.remove_customer(OPERATOR, customer="acme")
    await house.settle()
    assert house.published("acme") is None
    assert house.directory.lookup_domain("acme.test") is None
    assert house.bus.logs[RECIPIENTS.name, 0][-1].value is None


def _addresses() -> list[Address]:
    return [parse(f"{local}@acme.test") for local in "abc"]


async def test_the_file_leaves_what_the_console_keeps_and_says_who_keeps_it(house: ConsoleHouse) -> None:
    await house.desk.customers.take_in([spec("a@acme.test")], ME)
    await house.settle()
    kept = house.published("acme")
    assert kept is not None
    recipients = {
        f"acme/{event.digest}": event for event in house.bus.events(RECIPIENTS) if isinstance(event, Recipient)
    }
    other = CustomerSpec(Customer(id="globex", domains=(Domain(name="globex.test", relay=RELAY),)))
    made = plan([other], {"acme": kept}, recipients, bytes)
    assert [type(item) for item in made] == [Customer]  # and no tombstone of acme or its recipients
    with pytest.raises(Exception, match="acme is kept by the console"):
        plan([spec()], {"acme": kept}, recipients, bytes)
    thief = CustomerSpec(Customer(id="thief", domains=(Domain(name="acme.test", relay=RELAY),)))
    with pytest.raises(Exception, match="which the console keeps"):
        plan([thief], {"acme": kept}, recipients, bytes)


async def test_while_the_broker_is_away_changes_are_kept_and_then_come_in_their_order(house: ConsoleHouse) -> None:
    house.bus.down = True
    for name in ("one", "two", "three"):
        await house.desk.customers.take_in([spec(name=name)], ME)
    with pytest.raises(BusUnavailable):
        await house.outbox.turn()
    house.bus.down = False
    await house.settle()
    names = [event.name for event in house.bus.events(CUSTOMERS) if isinstance(event, Customer)]
    assert names[-3:] == ["one", "two", "three"]
    assert await count(house, OUTBOX) == 0


async def test_what_landed_and_was_not_acknowledged_comes_again_and_ends_the_same(house: ConsoleHouse) -> None:
    await house.settle()
    await house.desk.customers.take_in([spec(name="one")], ME)
    await house.desk.customers.take_in([spec(name="two")], ME)
    house.bus.lose_acks = True
    with pytest.raises(BusUnavailable):
        await house.outbox.turn()
    house.bus.lose_acks = False
    await house.settle()
    names = [event.name for event in house.bus.events(CUSTOMERS) if isinstance(event, Customer)]
    assert names == ["one", "two", "one", "two"]
    assert house.published("acme") is not None


async def test_one_process_at_a_time_and_the_next_heals_what_the_last_left_behind(house: ConsoleHouse) -> None:
    other = Outbox(house.book, house.bus, house.post, "two")
    await house.settle()
    await house.desk.customers.take_in([spec(name="new")], ME)
    assert not await other.turn()  # not its turn
    assert house.published("acme") is None
    await house.settle()
    house.clock.advance(LEASE + 1)
    assert not await other.turn()  # its turn now; nothing waits
    # What the first one had under way lands late, behind something newer:
    event = house.published("acme")
    assert event is not None
    await house.bus.publish([Customer(id="acme", name="stale", salt=event.salt, origin="console")])
    await house.bus.publish([Customer(id="ghost", salt="00", origin="console"), Customer(id="file", name="a file's")])
    assert not await house.outbox.turn()  # the first has lost its turn, and notices
    house.clock.advance(SETTLED)
    await other.turn()
    healed = house.published("acme")
    assert healed == event
    assert house.published("ghost") is None
    assert house.published("file") is not None


async def test_topics_that_were_lost_are_filled_again(house: ConsoleHouse) -> None:
    await house.desk.customers.take_in([spec("a@acme.test")], ME)
    await house.settle()
    before = (house.published("acme"), set(house.bus.events(RECIPIENTS)))
    house.bus.logs.clear()
    await Outbox(house.book, house.bus, house.post, "one").turn()  # the same name: the lease is its own
    await house.outbox.release()
    await Outbox(house.book, house.bus, house.post, "new").turn()
    assert (house.published("acme"), set(house.bus.events(RECIPIENTS))) == before


async def test_mail_that_can_not_go_holds_up_no_customer_and_is_dropped_only_when_it_never_can(
    house: ConsoleHouse,
) -> None:
    house.post.down = StoreUnavailable("away")
    await house.desk.customers.add_customer(OPERATOR, body=models.NewCustomer(id="acme", owner="a@acme.test"))
    with pytest.raises(StoreUnavailable):
        await house.outbox.turn()
    assert house.published("acme") is not None
    house.post.down = BadAddress("never")
    await house.settle()
    assert await count(house, OUTBOX) == 0
    assert house.post.sent == []
