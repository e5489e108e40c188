"""The quarantine on a real database: SQLite, and PostgreSQL where GATEPOST_TEST_POSTGRES names an empty one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, text

from schemas.catalog import COMMANDS, DEADLETTERS, DISPOSITIONS, OUTCOMES
from schemas.events import (
    Action,
    Branch,
    Command,
    Customer,
    Disposition,
    Envelope,
    Event,
    Hold,
    Moved,
    Outcome,
    QuarantineCommand,
    Received,
    Status,
)
from schemas.events import State as Ending
from services.core.clock import ManualClock
from services.core.errors import (
    BusUnavailable,
    ConfigError,
    DatabaseUnavailable,
    StartError,
    StoreUnavailable,
    UnreadableEvent,
)
from services.core.stored import pack
from services.quarantine.app import Quarantine
from services.quarantine.config import QuarantineConfig
from services.quarantine.index import KEEP, RESUME, Index
from services.quarantine.keyring import Keyring
from services.quarantine.master import Secrets
from services.quarantine.migrate import upgrade
from services.quarantine.tables import METADATA, State
from services.quarantine.vault import Vault
from services.runtime.bus import Record
from services.runtime.consume import Consumer
from services.runtime.database import Database, database_url, transact
from services.runtime.fakes import MemoryBus
from services.runtime.fakes_store import MemoryStore
from tests.eventually import eventually
from tests.migrations import differences
from tests.parts import named
from tests.samples import received

DAY = 86_400.0
A, B, C = "a@example.test", "b@example.test", "c@example.test"


async def emptied(url: str) -> None:
    database = Database(database_url(url))
    async with database.writing() as connection:
        names = ("held", "messages", "keys", "tokens", "digests", "preferences", "version")
        for table in (f"quarantine_{name}" for name in names):
            await connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    await database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'gatepost 100%.db'}"
    postgres = named("GATEPOST_TEST_POSTGRES", "empty PostgreSQL database")
    await emptied(postgres)
    return postgres


class House:
    """A quarantine with everything around it."""

    def __init__(self, index: Index, sweep_seconds: float = 60.0) -> None:
        self.clock = ManualClock()
        self.index = index
        self.bus = MemoryBus(self.clock)
        self.store = MemoryStore(self.clock)
        self.customers = {"example": Customer(id="example", quarantine_days=7)}
        config = QuarantineConfig(sweep_seconds=sweep_seconds, sweep_limit=2)
        self.secrets = Secrets(b"m" * 32)
        self.keys = Keyring(index.database, self.store, self.secrets.wrapping, self.clock, os.urandom)
        self.vault = Vault(self.store, self.keys, os.urandom)
        self.plan: tuple[str, ...] = ()  # without a virus scanner a release waits for nobody
        self.quarantine = Quarantine(
            config,
            index,
            self.store,
            self.bus,
            self.customers.get,
            self.clock,
            vault=self.vault,
            secrets=self.secrets,
            plan=lambda: self.plan,
        )
        self._commands = 0

    async def message(self, *recipients: str) -> Received:
        body = b"Subject: A message\r\n\r\nIts body\r\n"
        envelope = Envelope(reverse_path="x@sender.test", recipients=recipients or (A, B, C), client_ip="192.0.2.1")
        event = received(envelope=envelope, size=len(body))
        await self.store.put(event.key, [pack(event), body])
        return event

    async def hold(self, *branches: Branch, of: Received | None = None) -> Received:
        event = of or await self.message()
        assert await self.handle(disposition(event, *branches)) == []
        return event

    async def handle(self, event: Event) -> list[Event]:
        topic = DISPOSITIONS
        record = Record(topic=topic, partition=0, offset=0, key="", event=event, timestamp=self.clock.now())
        made = await self.quarantine.handle(record)
        self.made = [item for item in made if isinstance(item, Event)]
        return [item for item in self.made if not isinstance(item, Moved | Hold)]

    def command(self, of: Received, action: Command, *recipients: str, customer: str = "example") -> QuarantineCommand:
        self._commands += 1
        return QuarantineCommand(
            command_id=f"command-{self._commands}",
            id=of.id,
            customer=customer,
            action=action,
            recipients=recipients,
            by="olga",
            at=self.clock.now(),
        )

    def outcomes(self) -> list[tuple[str, tuple[str, ...]]]:
        found = [event for event in self.bus.events(OUTCOMES) if isinstance(event, Outcome)]
        return sorted((outcome.id, outcome.recipients) for outcome in found)

    async def states(self, of: Received) -> dict[str, str]:
        return {row.recipient: row.state.value for row in await self.index.get(of.id)}


def quarantined(*recipients: str, rule: str = "virus") -> Branch:
    return Branch(recipients=recipients, action=Action.QUARANTINE, rule=rule, reason="virus says virus")


def delivered(*recipients: str) -> Branch:
    return Branch(recipients=recipients, action=Action.DELIVER, rule="default", reason="no rule objects")


def disposition(of: Received, *branches: Branch) -> Disposition:
    return Disposition(received=of, branches=branches, status=Status.VIRUS, score=9.5, decided_at=of.received_at)


def told(events: Sequence[Event]) -> list[tuple[str, tuple[str, ...]]]:
    """Return each event as what it means and for whom."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for event in events:
        if isinstance(event, Disposition):
            assert all(branch.action is Action.DELIVER for branch in event.branches)
            found.append(("release", tuple(r for branch in event.branches for r in branch.recipients)))
        if isinstance(event, Outcome):
            found.append((event.state.value, event.recipients))
    return found


@pytest.fixture
async def index(url: str) -> AsyncIterator[Index]:
    opened = await Index.open(url)
    yield opened
    await opened.close()


@pytest.fixture
def house(index: Index) -> House:
    return House(index)


# --- holding


async def test_what_is_held_can_be_listed(house: House) -> None:
    event = await house.hold(quarantined(A, B), delivered(C))
    first, second = await house.index.list()
    assert (first.id, first.recipient, second.recipient) == (event.id, A, B)
    assert (first.subject, first.status, first.score) == ("A message", "virus", 9.5)
    assert (first.rule, first.reason, first.reverse_path) == ("virus", "virus says virus", "x@sender.test")
    assert (first.held_at, first.expires_at) == (house.clock.now(), house.clock.now() + 7 * DAY)
    assert await house.index.held() == {event.id: frozenset({A, B})}
    kept = await house.index.disposition(event.id)
    assert kept == disposition(event, quarantined(A, B), delivered(C))


async def test_a_disposition_that_holds_nobody_leaves_nothing(house: House) -> None:
    await house.hold(delivered(A, B, C))
    assert await house.index.list(state=None) == []
    assert [call for call in house.store.calls if call[0] == "get"] == []


async def test_the_same_disposition_twice_is_one_hold(house: House) -> None:
    event = await house.hold(quarantined(A))
    expires = (await house.index.get(event.id))[0].expires_at
    house.clock.advance(100)
    await house.hold(quarantined(A), of=event)
    (row,) = await house.index.get(event.id)
    assert row.expires_at == expires


async def test_the_same_disposition_at_once_is_one_hold(house: House) -> None:
    event = await house.message()
    decided = disposition(event, quarantined(A, B))

    async def hold() -> None:
        while True:
            try:
                assert await house.handle(decided) == []
            except DatabaseUnavailable:  # another was faster, and the loop asks again
                continue
            return

    await asyncio.gather(*(hold() for _ in range(5)))
    assert [row.recipient for row in await house.index.get(event.id)] == [A, B]


async def test_a_message_that_ended_meanwhile_is_not_held(house: House) -> None:
    event = await house.message()
    await house.store.delete(event.key)
    await house.hold(quarantined(A), of=event)
    assert await house.index.get(event.id) == []


async def test_a_corrupt_object_is_held_all_the_same(house: House) -> None:
    event = await house.message()
    house.store.objects[event.key] = b"rubbish"
    await house.hold(quarantined(A), of=event)
    (row,) = await house.index.get(event.id)
    assert row.subject == ""


async def test_a_store_that_is_down_is_tried_again(house: House) -> None:
    event = await house.message()
    house.store.down = True
    with pytest.raises(StoreUnavailable):
        await house.hold(quarantined(A), of=event)
    house.store.down = False
    await house.hold(quarantined(A), of=event)
    assert await house.states(event) == {A: "held"}


async def test_a_customer_that_is_gone_has_thirty_days(house: House) -> None:
    house.customers.clear()
    event = await house.hold(quarantined(A))
    (row,) = await house.index.get(event.id)
    assert row.expires_at == house.clock.now() + 30 * DAY


async def test_many_recipients(house: House) -> None:
    names = tuple(f"user{number:04}@example.test" for number in range(1_000))
    event = await house.message(*names)
    await house.hold(quarantined(*names), of=event)
    (release,) = await house.handle(house.command(event, Command.RELEASE))
    assert told([release]) == [("release", names)]


# --- commands


async def test_a_release_is_a_disposition_for_those_it_names(house: House) -> None:
    event = await house.hold(quarantined(A, B))
    assert told(await house.handle(house.command(event, Command.RELEASE, A))) == [("release", (A,))]
    assert await house.states(event) == {A: "released", B: "held"}
    assert told(await house.handle(house.command(event, Command.RELEASE))) == [("release", (B,))]


async def test_a_deletion_is_an_outcome(house: House) -> None:
    event = await house.hold(quarantined(A, B))
    (outcome,) = await house.handle(house.command(event, Command.DELETE, B))
    assert isinstance(outcome, Outcome)
    assert (outcome.state, outcome.recipients, outcome.total) == (Ending.QUARANTINE_DELETED, (B,), 3)
    assert await house.states(event) == {A: "held", B: "deleted"}


@pytest.mark.parametrize("action", Command)
async def test_a_command_that_is_replayed_gives_the_same_events_and_has_no_second_effect(
    house: House, action: Command
) -> None:
    event = await house.hold(quarantined(A, B), quarantined(C, rule="spam"))
    command = house.command(event, action, A, C)
    first = await house.handle(command)
    before = await house.index.get(event.id)
    house.clock.advance(1_000)
    assert await house.handle(command) == first
    assert await house.index.get(event.id) == before
    assert await house.states(event) == {A: f"{action.value}d", B: "held", C: f"{action.value}d"}


@pytest.mark.parametrize("second", Command)
@pytest.mark.parametrize("first", Command)
async def test_another_command_on_what_has_ended_does_nothing(house: House, first: Command, second: Command) -> None:
    event = await house.hold(quarantined(A))
    await house.handle(house.command(event, first))
    assert await house.handle(house.command(event, second)) == []
    assert await house.states(event) == {A: f"{first.value}d"}


async def test_commands_at_once_end_each_hold_once(house: House) -> None:
    event = await house.hold(quarantined(A, B, C))
    commands = [house.command(event, action) for action in (*Command, *Command)]
    made = await asyncio.gather(*(house.handle(command) for command in commands))
    assert len([found for events in made for found in told(events)]) == 1


async def test_a_customer_can_not_end_another_s_hold(house: House) -> None:
    event = await house.hold(quarantined(A))
    assert await house.handle(house.command(event, Command.DELETE, customer="other")) == []
    assert await house.states(event) == {A: "held"}


async def test_a_command_on_what_was_never_held_does_nothing(house: House) -> None:
    event = await house.message()
    assert await house.handle(house.command(event, Command.RELEASE)) == []


@pytest.mark.parametrize("changes", [{"id": "x"}, {"command_id": "a\x00"}])
async def test_a_command_that_is_none_is_a_dead_letter(house: House, changes: dict[str, str]) -> None:
    event = await house.hold(quarantined(A))
    command = msgspec.structs.replace(house.command(event, Command.RELEASE), **changes)
    with pytest.raises(UnreadableEvent):
        await house.handle(command)


async def test_who_asked_is_kept_and_can_not_break_a_line(house: House) -> None:
    event = await house.hold(quarantined(A))
    command = msgspec.structs.replace(house.command(event, Command.RELEASE), by="olga\r\nBcc: x\x00")
    (release,) = await house.handle(command)
    assert isinstance(release, Disposition)
    assert release.released_by == "olga Bcc: x"
    assert release.release == command.command_id
    assert await house.handle(release) == []


async def test_in_the_loop_a_release_comes_out_where_the_disposition_went_in(house: House) -> None:
    event = await house.message()
    source = house.bus.source("quarantine", (DISPOSITIONS, COMMANDS))
    consumer = Consumer("quarantine", source, house.quarantine, house.bus, house.clock, max_in_flight=10)
    stop = asyncio.Event()
    running = asyncio.create_task(consumer.run(stop))
    await house.bus.publish([disposition(event, quarantined(A, B), delivered(C))])
    await eventually(lambda: _in_state(house, State.HELD))
    await house.bus.publish([house.command(event, Command.RELEASE, A), house.command(event, Command.DELETE, B)])
    await eventually(lambda: len(house.bus.events(DISPOSITIONS)) == 2 and len(house.outcomes()) == 1)
    stop.set()
    await asyncio.wait_for(running, 10)
    release = house.bus.events(DISPOSITIONS)[1]
    assert told([release, *house.bus.events(OUTCOMES)]) == [("release", (A,)), ("quarantine-deleted", (B,))]
    assert house.bus.events(DEADLETTERS) == []


# --- expiry


async def test_a_hold_ends_with_its_time_and_not_before(house: House) -> None:
    event = await house.hold(quarantined(A, B))
    house.clock.advance(7 * DAY - 1)
    assert await house.quarantine.sweep() == 0
    house.clock.advance(1)
    assert await house.quarantine.sweep() == 2
    (outcome,) = house.bus.events(OUTCOMES)
    assert isinstance(outcome, Outcome)
    assert (outcome.state, outcome.recipients, outcome.total) == (Ending.QUARANTINE_EXPIRED, (A, B), 3)
    assert await house.states(event) == {A: "expired", B: "expired"}
    assert await house.quarantine.sweep() == 0
    assert len(house.bus.events(OUTCOMES)) == 1


async def test_more_than_a_look_takes_at_a_time_expires_all_the_same(house: House) -> None:
    for _ in range(3):
        await house.hold(quarantined(A))
    house.clock.advance(8 * DAY)
    assert await house.quarantine.sweep() == 3
    assert len(house.outcomes()) == 3


async def test_what_was_released_or_deleted_does_not_expire(house: House) -> None:
    event = await house.hold(quarantined(A, B, C))
    await house.handle(house.command(event, Command.RELEASE, A))
    await house.handle(house.command(event, Command.DELETE, B))
    house.clock.advance(8 * DAY)
    assert await house.quarantine.sweep() == 1
    assert house.outcomes() == [(event.id, (C,))]


async def test_a_release_that_comes_while_the_outcome_is_on_its_way_comes_too_late(house: House) -> None:
    event = await house.hold(quarantined(A))
    house.clock.advance(8 * DAY)
    house.bus.lose_acks = True  # the outcome landed, and nobody knows
    with pytest.raises(BusUnavailable):
        await house.quarantine.sweep()
    assert await house.states(event) == {A: "expiring"}
    assert await house.index.held() == {event.id: frozenset({A})}
    assert await house.handle(house.command(event, Command.RELEASE)) == []
    house.bus.lose_acks = False
    assert await house.quarantine.sweep() == 0  # another sweep may be at it still
    house.clock.advance(RESUME)
    assert await house.quarantine.sweep() == 1
    assert await house.states(event) == {A: "expired"}


async def test_two_sweeps_at_once_publish_each_outcome_once(house: House, url: str) -> None:
    for _ in range(6):
        await house.hold(quarantined(A))
    house.clock.advance(8 * DAY)
    other = await Index.open(url)
    twin = House(other)
    twin.clock.advance(8 * DAY)
    counts = await asyncio.gather(house.quarantine.sweep(), twin.quarantine.sweep())
    await other.close()
    assert sum(counts) == 6
    assert len({*house.outcomes(), *twin.outcomes()}) == len([*house.outcomes(), *twin.outcomes()]) == 6


async def test_the_task_expires_and_outlives_a_broker_that_is_away(index: Index) -> None:
    house = House(index, sweep_seconds=0.01)
    await house.hold(quarantined(A))
    stop = asyncio.Event()
    task = asyncio.create_task(house.quarantine.expire(stop))
    house.bus.down = True
    house.clock.advance(8 * DAY)
    await eventually(lambda: _in_state(house, State.EXPIRING))
    house.bus.down = False
    house.clock.advance(RESUME)
    await eventually(lambda: _in_state(house, State.EXPIRED))
    assert len(house.outcomes()) == 1
    stop.set()
    await asyncio.wait_for(task, 5)


async def _in_state(house: House, state: State) -> bool:
    return bool(await house.index.list(state=state))


async def test_what_ended_long_ago_is_forgotten_and_what_is_held_stays(house: House) -> None:
    gone = await house.hold(quarantined(A))
    partly = await house.hold(quarantined(A, B))
    house.customers["example"] = Customer(id="example", quarantine_days=30)
    for event in (gone, partly):
        await house.handle(house.command(event, Command.DELETE, A))
    house.clock.advance(KEEP)
    stays = await house.hold(quarantined(A))
    await house.quarantine.sweep()
    assert await house.index.get(gone.id) == []
    assert await house.index.disposition(gone.id) is None
    assert await house.states(partly) == {B: "expired"}
    assert await house.states(stays) == {A: "held"}


# --- after a recovery: the message is published again from the store


async def test_a_recovered_message_that_was_released_is_released_again(house: House) -> None:
    event = await house.hold(quarantined(A, B))
    released = await house.handle(house.command(event, Command.RELEASE, A))
    again = msgspec.structs.replace(event, recovered=True)
    assert await house.handle(disposition(again, quarantined(A, B))) == released
    assert await house.states(event) == {A: "released", B: "held"}


async def test_a_recovered_message_that_had_ended_says_so_again(house: House) -> None:
    event = await house.hold(quarantined(A, B))
    deleted = await house.handle(house.command(event, Command.DELETE, A))
    house.clock.advance(8 * DAY)
    await house.quarantine.sweep()
    again = msgspec.structs.replace(event, recovered=True)
    said = await house.handle(disposition(again, quarantined(A, B)))
    assert told(said) == [*told(deleted), ("quarantine-expired", (B,))] or told(said) == [
        ("quarantine-expired", (B,)),
        *told(deleted),
    ]


async def test_a_disposition_that_is_only_redelivered_says_nothing_again(house: House) -> None:
    event = await house.hold(quarantined(A))
    await house.handle(house.command(event, Command.RELEASE))
    assert await house.handle(disposition(event, quarantined(A))) == []


async def test_a_recovered_message_that_is_decided_otherwise_is_no_longer_held(house: House) -> None:
    event = await house.hold(quarantined(A, B))
    again = msgspec.structs.replace(event, recovered=True)
    await house.handle(disposition(again, delivered(A), quarantined(B, rule="later")))
    assert await house.states(event) == {B: "held"}
    await house.handle(disposition(again, delivered(A, B)))
    assert await house.states(event) == {}
    await house.handle(disposition(again, quarantined(B, rule="later")))
    (release,) = await house.handle(house.command(event, Command.RELEASE))
    assert isinstance(release, Disposition)
    assert release.branches[0].rule == "later"


# --- lists


async def test_lists_are_newest_first_by_message_and_by_customer(house: House) -> None:
    made = []
    for number in range(5):
        event = await house.message()
        event = msgspec.structs.replace(
            event, id=f"01K8Z4N5QJ3M8V7T2R6XW9YB{number:02}", customer="example" if number % 2 else "other"
        )
        await house.hold(quarantined(A, B), of=event)
        made.append(event.id)
    newest = made[::-1]
    assert [row.id for row in await house.index.list(limit=2)] == [newest[0], newest[0], newest[1], newest[1]]
    older = await house.index.list(limit=2, before=newest[1])
    assert [row.id for row in older] == [newest[2], newest[2], newest[3], newest[3]]
    assert {row.id for row in await house.index.list(customer="example")} == {made[1], made[3]}
    assert await house.index.list(state=State.RELEASED) == []
    assert len(await house.index.list(state=None)) == 10
    assert await house.index.get(made[1], customer="other") == []
    assert len(await house.index.get(made[1], customer="example")) == 2


# --- the database


async def test_the_migrations_make_exactly_the_tables_that_the_code_knows(url: str) -> None:
    database = Database(database_url(url))
    async with database.writing() as connection:
        await connection.run_sync(upgrade)
        found = await differences(connection, "quarantine_version", METADATA)
    await database.close()
    assert found == []


async def test_a_migration_that_fails_leaves_nothing_behind(url: str) -> None:
    def fail(connection: Connection) -> None:
        upgrade(connection)
        raise InterruptedError

    with pytest.raises((InterruptedError, DatabaseUnavailable)):
        await asyncio.to_thread(transact, database_url(url), fail)
    index = await Index.open(url)
    assert await index.list() == []
    await index.close()


OPEN = """
import asyncio, sys
from services.quarantine.index import Index

async def main():
    index = await Index.open(sys.argv[1])
    assert await index.list() == []
    await index.close()

asyncio.run(main())
"""


async def test_processes_that_start_together_all_find_the_tables(url: str) -> None:
    processes = [await asyncio.create_subprocess_exec(sys.executable, "-c", OPEN, url) for _ in range(3)]
    assert [await asyncio.wait_for(process.wait(), 60) for process in processes] == [0, 0, 0]


async def test_one_process_may_open_several_at_once(url: str) -> None:
    for index in await asyncio.gather(*(Index.open(url) for _ in range(3))):
        assert await index.list() == []
        await index.close()


async def test_what_is_held_outlives_the_process(url: str) -> None:
    index = await Index.open(url)
    house = House(index)
    event = await house.hold(quarantined(A))
    command = house.command(event, Command.RELEASE)
    first = await house.handle(command)
    await index.close()
    again = await Index.open(url)
    assert await House(again).handle(command) == first
    await again.close()


async def test_sqlite_is_set_to_survive_a_power_cut(tmp_path: Path) -> None:
    database = Database(database_url(f"sqlite:///{tmp_path / 'a.db'}"))
    async with database.reading() as connection:
        journal = await connection.scalar(text("PRAGMA journal_mode"))
        synchronous = await connection.scalar(text("PRAGMA synchronous"))
    await database.close()
    assert (journal, synchronous) == ("wal", 2)


async def test_a_database_that_another_process_keeps_locked_is_temporary(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    index = await Index.open(url)
    house = House(index)
    event = await house.message()
    other = Database(database_url(url))
    async with other.writing() as connection:
        await connection.execute(text("DELETE FROM quarantine_held"))
        assert await index.list() == []  # readers go on
        with pytest.raises(DatabaseUnavailable, match="locked"):
            await house.hold(quarantined(A), of=event)
    await other.close()
    await house.hold(quarantined(A), of=event)
    assert await house.states(event) == {A: "held"}
    await index.close()


async def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"^the database sqlite.*can't be used: unable to open database file$"):
        await Index.open(f"sqlite:///{tmp_path / 'nowhere' / 'a.db'}")


async def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"this is a text, and no database at all. " * 100)
    with pytest.raises(StartError, match=r"can't be used: file is not a database$"):
        await Index.open(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("url", "expected"),
    [("mysql://u:secret@h/d", "mysql is neither"), ("gatepost.db", "not a database URL"), ("", "not a database URL")],
)
async def test_another_database_is_refused_without_its_password(url: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        await Index.open(url)
    assert "secret" not in str(caught.value)


async def test_a_postgresql_that_is_not_there_is_one_line_without_its_password() -> None:
    with pytest.raises(StartError) as caught:
        await Index.open("postgresql://u:secret@127.0.0.1:1/d")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
