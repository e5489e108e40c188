"""The trace on a real database: SQLite, and PostgreSQL where GATEPOST_TEST_POSTGRES names an empty one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from schemas.catalog import DEADLETTERS, RECEIVED
from schemas.events import Action, Branch, DeadLetter, Disposition, Envelope, Event, Outcome, Rejection, State, Status
from services.core.clock import ManualClock
from services.core.errors import ConfigError
from services.core.ids import message_id
from services.runtime.consume import Consumer
from services.runtime.database import Database, database_url
from services.runtime.fakes import MemoryBus
from services.runtime.migrate import migrate
from services.trace.app import TOPICS, Trace
from services.trace.config import TraceConfig
from services.trace.decide import DAY, day_of, facts
from services.trace.index import FOLDER, Index
from services.trace.query import Query
from services.trace.tables import METADATA
from services.trace.tally import HOUR, Kind
from tests.eventually import eventually
from tests.migrations import differences
from tests.parts import named
from tests.samples import NOW, received, verdict

A, B = "a@example.test", "b@example.test"


async def emptied(url: str) -> None:
    database = Database(database_url(url))
    async with database.writing() as connection:
        for table in (*METADATA.tables, "trace_version"):
            await connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    await database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'gatepost 100%.db'}"
    url = named("GATEPOST_TEST_POSTGRES", "empty PostgreSQL database")
    await emptied(url)
    return url


@pytest.fixture
async def index(url: str) -> AsyncIterator[Index]:
    opened = await Index.open(url)
    yield opened
    await opened.close()


class House:
    """A trace with a bus in memory, driven by the consume loop."""

    def __init__(self, index: Index) -> None:
        self.clock = ManualClock(NOW + 10)
        self.bus = MemoryBus(self.clock)
        self.index = index
        self.trace = Trace(TraceConfig(gather_seconds=0.01, batch=50, days=90), index, self.clock)
        self._stop = asyncio.Event()
        source = self.bus.source("trace", TOPICS)
        self._consumer = Consumer("trace", source, self.trace, self.bus, self.clock)
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> House:
        self._running = asyncio.create_task(self._consumer.run(self._stop))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        assert self._running is not None
        await self._running
        await self.trace.close()

    async def tell(self, *events: Event) -> None:
        """Publish, and return when all that is there has been written."""
        await self.bus.publish(events)
        ends = {slot: len(records) for slot, records in self.bus.logs.items() if slot[0] != DEADLETTERS.name}
        await eventually(
            lambda: all(self.bus.offsets.get(("trace", slot), 0) == end for slot, end in ends.items()), 20.0
        )


@pytest.fixture
async def house(index: Index) -> AsyncIterator[House]:
    async with House(index) as house:
        yield house


def accepted(at: float = NOW, *recipients: str, **changes: Any) -> Any:
    envelope = Envelope(
        reverse_path=changes.pop("sender", "Alice@Sender.test"),
        recipients=recipients or (A,),
        client_ip=changes.pop("client", "192.0.2.7"),
    )
    return received(id=message_id(at, os.urandom), received_at=at, envelope=envelope, **changes)


def outcome(of: Any, *recipients: str, state: State = State.DELIVERED, at: float = NOW + 5) -> Outcome:
    return Outcome(
        id=of.id,
        customer=of.customer,
        key=of.key,
        recipients=recipients or of.envelope.recipients,
        total=len(of.envelope.recipients),
        state=state,
        at=at,
        received_at=of.received_at,
    )


def decided(of: Any, action: Action, at: float = NOW + 1) -> Disposition:
    branch = Branch(recipients=of.envelope.recipients, action=action, rule="r", reason="x")
    return Disposition(received=of, branches=(branch,), status=Status.CLEAN, score=0.0, decided_at=at)


def refused(at: float = NOW, **changes: Any) -> Rejection:
    event = Rejection(
        client_ip="203.0.113.9",
        at=at,
        reason="unknown-recipient",
        reply="550 5.1.1 No such recipient here",
        reverse_path="<x@spam.test> SIZE=100",
        recipient="<Nobody@Example.test>",
        customer="example",
    )
    return msgspec.structs.replace(event, **changes)


async def ids(house: House, **wanted: Any) -> list[str]:
    wanted.setdefault("customer", "example")
    return [found.id for found in await house.index.search(Query(**wanted))]


async def test_a_message_is_found_by_what_people_know_of_it(house: House) -> None:
    message = accepted(NOW, A, B, subject="Rechnung Über 100%_x", message_id="1@sender.test")
    other = accepted(NOW + 1, "c@example.test", sender="bob@else.test", client="192.0.2.8", subject="Hello")
    await house.tell(message, other)
    for wanted in (
        {"recipient": "A@Example.TEST"},
        {"recipient": B},
        {"sender": "alice@sender.TEST"},
        {"sender": "@sender.test"},
        {"subject": "RECHNUNG über"},
        {"subject": "100%_"},
        {"client": "192.0.2.7"},
        {"message_id": "<1@sender.test>"},
        {"until": NOW + 0.5},
        {"recipient": A, "sender": "alice@sender.test", "subject": "100"},
    ):
        assert await ids(house, **wanted) == [message.id], wanted
    for wanted in ({"subject": "100_"}, {"recipient": A, "sender": "bob@else.test"}, {"sender": "@ender.test"}):
        assert await ids(house, **wanted) == []
    assert await ids(house, recipient="@example.test") == [other.id, message.id]
    assert await ids(house, since=NOW + 0.5) == [other.id]


async def test_no_customer_sees_anothers(house: House) -> None:
    message = accepted(NOW, A, customer="other")
    await house.tell(message, outcome(message), refused(customer=""))
    assert await ids(house) == []
    assert await ids(house, recipient=A) == []
    assert await house.index.get(message.id, "example") is None
    assert await house.index.events(message.id, "example") == []
    assert len(await ids(house, customer=None)) == 2
    assert await ids(house, customer="other") == [message.id]


async def test_the_state_is_the_latest_in_whatever_order_events_come(house: House) -> None:
    message, held = accepted(NOW, A, B), accepted(NOW + 1, A)
    await house.tell(outcome(message, A))
    await house.tell(decided(message, Action.DELIVER, NOW + 9), message)
    await house.tell(held, decided(held, Action.QUARANTINE, NOW + 2))
    found = await house.index.get(message.id, "example")
    assert found is not None
    assert found.recipients == {A: "delivered", B: "queued"}
    assert await ids(house, state="held") == [held.id]


async def test_a_state_is_the_recipients_where_one_is_named(house: House) -> None:
    message, other = accepted(NOW, A, B), accepted(NOW + 1, A.upper(), A)
    await house.tell(message, outcome(message, A), decided(message, Action.QUARANTINE), other)
    assert await ids(house, state="held") == [message.id]
    assert await ids(house, recipient=B, state="held") == [message.id]
    assert await ids(house, recipient=A, state="held") == []
    assert await ids(house, recipient=A, state="delivered") == [message.id]
    assert await ids(house, recipient=A, state="received") == [other.id]  # once, though it is there in two spellings
    assert await ids(house, state="received", customer=None, recipient="@example.test") == [other.id]
    with pytest.raises(ConfigError, match="is no state; there are bounced, deferred"):
        Query(customer=None, state="delivred")


@pytest.mark.parametrize("rare", ["recipient", "sender"])
async def test_whichever_of_recipient_and_sender_is_rare_both_are_found(house: House, rare: str) -> None:
    house.index.looked_at = 3  # several steps for few messages
    usual = {"recipient": (B, "alice@sender.test"), "sender": (A, "bob@else.test")}[rare]
    wanted = [accepted(NOW - number, A, sender="alice@sender.test") for number in (0, 7, 14)]
    others = [accepted(NOW - 1 - number, usual[0], sender=usual[1]) for number in range(13)]
    await house.tell(*wanted, *others)
    found = await ids(house, recipient=A, sender="alice@sender.test")
    assert found == [message.id for message in wanted]
    assert await ids(house, recipient=A, sender="alice@sender.test", limit=2) == found[:2]
    assert await ids(house, recipient=A, sender="alice@sender.test", limit=2, before=found[1]) == found[2:]


async def test_the_migrations_make_exactly_the_tables_that_the_code_knows(url: str) -> None:
    database = Database(database_url(url))
    await migrate(database.url, FOLDER)
    async with database.writing() as connection:
        found = await differences(connection, "trace_version", METADATA)
    await database.close()
    assert found == []


async def test_the_same_events_again_change_nothing(house: House) -> None:
    message = accepted()
    events: list[Event] = [
        message,
        verdict(message, "virus"),
        decided(message, Action.DELIVER),
        outcome(message),
        refused(),
    ]
    await house.tell(*events)
    before = await house.index.size()
    await house.tell(*events)
    assert await house.index.size() == before == len(events)
    told = {type(each.event).__name__ for each in await house.index.events(message.id, "example")}
    assert told == {"Received", "Verdict", "Disposition", "Outcome"}


async def test_a_refusal_is_found_and_can_be_shown(house: House) -> None:
    await house.tell(refused(), refused(NOW + 1, recipient="", reverse_path="", customer="", reason="reputation"))
    (one,) = await house.index.search(Query(customer="example", recipient="nobody@example.test"))
    assert (one.refused, one.sender, one.recipients) == (
        "unknown-recipient",
        "x@spam.test",
        {"Nobody@Example.test": "refused"},
    )
    (told,) = await house.index.events(one.id, "example")
    assert told.event == refused()
    assert len(await ids(house, customer=None, client="203.0.113.9", refused=True)) == 2
    assert await ids(house, refused=False) == []


async def test_pages_follow_each_other_without_a_gap(house: House) -> None:
    messages = [accepted(NOW - number * 43_200) for number in range(7)]  # over several days
    await house.tell(*messages)
    seen: list[str] = []
    while page := await ids(house, recipient=A, limit=3, before=seen[-1] if seen else ""):
        seen += page
    assert seen == [message.id for message in messages]
    with pytest.raises(ConfigError):
        Query(customer=None, before="x")


async def test_days_that_are_over_are_forgotten(house: House) -> None:
    old, young = accepted(NOW - 80 * DAY, subject="old"), accepted(subject="young")
    ancient = accepted(NOW - 95 * DAY)
    await house.tell(old, young, ancient)
    assert await ids(house) == [young.id, old.id]
    assert await house.index.forget(day_of(old.id)) == 1
    assert await ids(house) == [young.id]
    assert await house.index.size() == 1
    await house.tell(old)  # read again from the topic, as by a rebuild
    assert await ids(house) == [young.id, old.id]


async def test_what_cannot_be_kept_is_a_dead_letter_and_the_rest_is_written(house: House) -> None:
    future, fine = accepted(NOW + 900 * DAY), accepted()
    strange = msgspec.structs.replace(accepted(), id="strange")
    await house.tell(future, strange, fine, accepted(NOW + 1, "nul\0@example.test", subject="a\0b"))
    assert len(await ids(house)) == 2
    letters = [event for event in house.bus.events(DEADLETTERS) if isinstance(event, DeadLetter)]
    assert sorted(letter.topic for letter in letters) == [RECEIVED.name] * 2


async def test_who_write_the_same_at_once_count_it_once(index: Index, url: str) -> None:
    events = [facts(received(customer=f"c{number % 5}", received_at=NOW), NOW) for number in range(300)]
    parts = (events[:200], events[100:], events[50:250])
    other = await Index.open(url)
    try:
        await asyncio.gather(*(each.write(part) for each in (index, other) for part in parts))
    finally:
        await other.close()
    hour = int(NOW // HOUR)
    for customer, many in (("c0", 60), (None, 300)):
        found = await index.tallies(customer, hour, hour + 1, 1)
        assert {each.count for each in found if each.kind is Kind.MESSAGES} == {many}


async def test_what_comes_late_while_its_day_is_counted_is_not_missed(index: Index, url: str) -> None:
    """Two processes write, two count days and roll up hours, all at once: in the end nothing is missing."""
    today = int(NOW // DAY)
    ages = [age for age in (1, 2, 12, 13) for _ in range(15)]
    late = [accepted(NOW - age * DAY, sender=f"s{number % 2}@x.test") for number, age in enumerate(ages)]
    other = await Index.open(url)

    async def write(into: Index, events: list[Any]) -> None:
        for event in events:
            await into.write([facts(event, event.received_at)], today)

    writing = asyncio.gather(write(index, late[::2]), write(other, late[1::2]))
    try:
        while not writing.done():
            await asyncio.gather(*(each.count_tops(today) for each in (index, other)))
            await asyncio.gather(*(each.roll_up(today - 9) for each in (index, other)))
        await writing
        while await index.count_tops(today):
            pass
        fresh = Index(other._database)  # one that has not been through the old days yet
        while await fresh.roll_up(today - 9):
            pass
    finally:
        await other.close()
    customer = late[0].customer
    senders, recipients = await index.tops(customer, NOW - 20 * DAY, NOW, 5)
    assert [(each.address, each.count) for each in senders] == [("s0@x.test", 30), ("s1@x.test", 30)]
    assert [(each.address, each.count) for each in recipients] == [(A, 60)]
    first = (today - 20) * 24
    found = await index.tallies(customer, first, today * 24, 24)
    assert sum(each.count for each in found if each.kind is Kind.MESSAGES) == 60
