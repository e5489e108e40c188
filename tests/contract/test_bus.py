"""What every bus does: the broker in memory and Apache Kafka pass the same tests."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, cast

import msgspec
import pytest

from schemas import catalog, wire
from schemas.catalog import CUSTOMERS, DEADLETTERS, OUTCOMES, PENDING, RECEIVED, Topic
from schemas.events import Customer, DeadLetter, Event, Outcome, Pending, Received, State
from services.core.clock import SystemClock
from services.core.errors import (
    BusUnavailable,
    ConfigError,
    EngineUnavailable,
    ObjectCorrupt,
    StartError,
    TooManyDeadLetters,
)
from services.runtime.bus import MARK, Record, Stateless, Tombstone
from services.runtime.consume import Consumer
from services.runtime.fakes import MemoryBus
from services.runtime.kafka import KafkaBus
from services.runtime.table import Table
from tests.eventually import eventually
from tests.samples import received

Bus = MemoryBus | KafkaBus


@pytest.fixture(params=["memory", "kafka"])
def bootstrap(request: pytest.FixtureRequest) -> str:
    """Every broker there is: none for the one in memory."""
    return "" if request.param == "memory" else str(request.getfixturevalue("kafka"))


@pytest.fixture
async def bus(bootstrap: str) -> AsyncIterator[Bus]:
    """A bus, empty or with other tests' records: tests look only for their own ids."""
    if not bootstrap:
        yield MemoryBus()
        return
    kafka = KafkaBus(bootstrap, "contract")
    await kafka.start()
    yield kafka
    await kafka.close()


@pytest.fixture
def restored_cut() -> Iterator[None]:
    """Whatever the test says of the partitions, the next one finds what was before."""
    before = catalog.partition_count()
    yield
    catalog.cut(before)


class Echo(Stateless):
    """Answers each message with an outcome, after the troubles that the test sets."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.finished_ids: list[str] = []
        self.suspects: set[str] = set()
        self.fail: dict[str, list[Exception]] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        event = record.event
        assert isinstance(event, Received)
        self.seen.append(event.id)
        if record.suspect:
            self.suspects.add(event.id)
        await self.gate.wait()
        if self.fail.get(event.id):
            raise self.fail[event.id].pop(0)
        return (outcome(event),)

    async def finished(self, record: Record) -> None:
        self.finished_ids.append(record.key)


def outcome(of: Received) -> Outcome:
    recipients = of.envelope.recipients
    return Outcome(
        id=of.id,
        customer=of.customer,
        key=of.key,
        recipients=recipients,
        total=len(recipients),
        state=State.DELIVERED,
        at=1.0,
        received_at=1.0,
    )


class Running:
    """A consumer in a task."""

    def __init__(self, bus: Bus, group: str, service: Any, *, from_now: bool = False, **settings: Any) -> None:
        self.stop = asyncio.Event()
        source = bus.source(group, (RECEIVED,), from_now=from_now)
        self.consumer = Consumer(group, source, service, bus, SystemClock(), **settings)

    async def __aenter__(self) -> Running:
        self.task = asyncio.create_task(self.consumer.run(self.stop))
        await asyncio.wait_for(self.consumer.assigned_once.wait(), 30)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, 30)


async def of_ids(bus: Bus, topic: Topic, ids: set[str]) -> list[Record]:
    return [record async for record in bus.read(topic) if record.key in ids]


def group(request: pytest.FixtureRequest) -> str:
    return f"contract-{request.node.name}-{received().id}"


async def test_what_is_published_is_read_back_in_the_order_of_its_key(bus: Bus) -> None:
    one = Customer(id=received().id, name="first")
    await bus.publish([one, Customer(id=one.id, name="second")])
    await bus.publish([Tombstone(CUSTOMERS, one.id)])
    records = await of_ids(bus, CUSTOMERS, {one.id})
    assert [r.event and r.event.name for r in records if r.event is None or isinstance(r.event, Customer)] == [
        "first",
        "second",
        None,
    ]
    assert [r.offset for r in records] == sorted(r.offset for r in records)


@pytest.mark.usefixtures("restored_cut")
async def test_who_was_told_of_another_number_of_partitions_neither_writes_nor_reads(bus: Bus, bootstrap: str) -> None:
    """A message would lie where nobody joins it, and a ledger of half the partitions would balance."""
    await bus.publish([received()])
    catalog.cut(RECEIVED.partitions - 1)
    other = KafkaBus(bootstrap, "contract-cut") if isinstance(bus, KafkaBus) else bus
    with pytest.raises(ConfigError, match=r"GATEPOST_PARTITIONS: 11 here, .* have 12"):
        await other.publish([received()])
    with pytest.raises(ConfigError, match="GATEPOST_PARTITIONS"):
        [record async for record in other.read(RECEIVED)]
    if isinstance(other, KafkaBus):
        await other.close()


async def test_the_tail_of_a_partition_is_its_last_records(bus: Bus) -> None:
    same = [Pending(id="tail", attempt=n) for n in range(30)]
    await bus.publish(same)
    partition = Table(bus, PENDING, Pending).partition_of("tail")
    records = [record async for record in bus.read(PENDING, [partition], tail=5)]
    assert len(records) == 5
    assert isinstance(records[-1].event, Pending)
    assert records[-1].event.attempt == 29


async def test_who_has_to_be_sure_reads_all_and_leaves_a_mark_that_says_nothing(bus: Bus) -> None:
    one = Pending(id=received().id)
    await bus.publish([one])
    partition = Table(bus, PENDING, Pending).partition_of(one.id)
    for _ in range(2):
        records = [record async for record in bus.read(PENDING, [partition], sure=True)]
        assert one in [record.event for record in records]
    (mark, again) = [record async for record in bus.read(PENDING, [partition], tail=2)]
    assert [(each.key, each.event) for each in (mark, again)] == [(MARK, None)] * 2
    table = Table(bus, PENDING, Pending)
    await table.load([partition])
    assert (one.id in table, MARK in table) == (True, False)


async def test_a_mark_whose_place_nobody_says_is_no_end(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap: acknowledged as a duplicate that the broker has forgotten, a record's offset is -1: an empty table."""
    bus = KafkaBus(kafka, "tests")

    async def forgotten(rows: Sequence[object], _: float) -> list[int]:
        return [-1 for _ in rows]

    monkeypatch.setattr(bus, "_append", forgotten)
    try:
        with pytest.raises(BusUnavailable):
            await Table(bus, PENDING, Pending).load([0])
    finally:
        await bus.close()


async def test_a_broker_that_is_leader_no_more_hides_nothing_from_a_table() -> None:
    bus = MemoryBus()
    table, one = Table(bus, PENDING, Pending), Pending(id=received().id)
    table.put(one)
    await table.flush()
    table.delete(one.id)
    await table.flush()
    bus.behind = 1
    assert [record.event async for record in bus.read(PENDING, [table.partition_of(one.id)])] == [one]
    fresh = Table(bus, PENDING, Pending)
    await fresh.load(range(PENDING.partitions))
    assert one.id not in fresh


async def test_a_follower_catches_up_and_goes_on(bus: Bus) -> None:
    first, second = (Customer(id=received().id) for _ in range(2))
    await bus.publish([first])
    caught_up, seen = asyncio.Event(), set()

    async def follow() -> None:
        async for record in bus.follow(CUSTOMERS, caught_up):
            seen.add(record.key)

    task = asyncio.create_task(follow())
    await asyncio.wait_for(caught_up.wait(), 20)
    assert first.id in seen
    await bus.publish([second])
    await eventually(lambda: second.id in seen)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_loop_publishes_what_follows_and_commits(bus: Bus, request: pytest.FixtureRequest) -> None:
    name, messages, service = group(request), [received() for _ in range(50)], Echo()
    ids = {message.id for message in messages}
    await bus.publish(messages)
    async with Running(bus, name, service):
        await eventually(lambda: ids <= set(service.finished_ids), 30)
    assert len(await of_ids(bus, OUTCOMES, ids)) == 50
    again = Echo()
    more = received()
    await bus.publish([more])
    async with Running(bus, name, again):
        await eventually(lambda: more.id in again.finished_ids, 30)
    assert not ids & set(again.seen)  # committed work is not done again


async def test_a_temporary_failure_is_tried_again_until_it_passes(bus: Bus, request: pytest.FixtureRequest) -> None:
    message, service = received(), Echo()
    service.fail[message.id] = [EngineUnavailable("one"), EngineUnavailable("two")]
    await bus.publish([message])
    async with Running(bus, group(request), service):
        await eventually(lambda: message.id in service.finished_ids, 30)
    assert service.seen.count(message.id) == 3
    assert len(await of_ids(bus, OUTCOMES, {message.id})) == 1


@pytest.mark.parametrize(
    "errors", [[ObjectCorrupt("no header")], [ZeroDivisionError()] * 3], ids=["permanent", "defect"]
)
async def test_what_cannot_be_handled_is_buried_and_the_rest_goes_on(
    bus: Bus, request: pytest.FixtureRequest, errors: list[Exception]
) -> None:
    bad, good, service = received(), received(), Echo()
    service.fail[bad.id] = list(errors)
    await bus.publish([bad, good])
    async with Running(bus, group(request), service):
        await eventually(lambda: good.id in service.finished_ids, 30)

        async def buried() -> bool:
            letters = [r.event async for r in bus.read(DEADLETTERS) if isinstance(r.event, DeadLetter)]
            return any(bad.id.encode() in base64.b64decode(letter.value) for letter in letters)

        await eventually(buried, 30)
    assert await of_ids(bus, OUTCOMES, {bad.id}) == []


async def test_the_largest_record_fits_into_a_dead_letter(bus: Bus, request: pytest.FixtureRequest) -> None:
    """Or its partition would stand still for ever: the letter is tried again and again, and never taken."""
    few = received().envelope
    many = tuple(f"{'x' * 60}{n}@example.test" for n in range(23_000))
    bad, service = received(envelope=msgspec.structs.replace(few, recipients=many)), Echo()
    assert 1_800_000 < len(wire.encode(bad)) < 1_990_000
    service.fail[bad.id] = [ObjectCorrupt("no header")]
    await bus.publish([bad])
    async with Running(bus, group(request), service):
        await eventually(lambda: bad.id in service.finished_ids, 30)
    letters = [
        r.event async for r in bus.read(DEADLETTERS) if isinstance(r.event, DeadLetter) and r.event.key == bad.id
    ]
    assert [base64.b64decode(letter.value) for letter in letters] == [wire.encode(bad)]


async def test_a_consumer_that_can_handle_nothing_stops_and_leaves_all_in_place(
    bus: Bus, request: pytest.FixtureRequest
) -> None:
    """A deploy gone wrong must not drain a topic into the bin; the next deploy finds every record."""
    name, service = group(request), Echo()
    messages = [received() for _ in range(40)]
    ids = {message.id for message in messages}
    for message in messages:
        service.fail[message.id] = [ObjectCorrupt("a deploy gone wrong")] * 100
    stop = asyncio.Event()
    consumer = Consumer(name, bus.source(name, (RECEIVED,)), service, bus, SystemClock())
    running = asyncio.create_task(consumer.run(stop))
    await asyncio.wait_for(consumer.assigned_once.wait(), 30)
    good = [received() for _ in range(40)]
    await bus.publish(good)  # what other tests left in the topic lies before these: handled, it would end the run
    await eventually(lambda: {message.id for message in good} <= set(service.finished_ids), 30)
    await bus.publish(messages)
    with pytest.raises(TooManyDeadLetters, match=r"could not handle 20 records in a row.*a deploy gone wrong"):
        await asyncio.wait_for(running, 30)
    letters = [r.event async for r in bus.read(DEADLETTERS) if isinstance(r.event, DeadLetter)]
    assert [letter for letter in letters if letter.group == name] == []
    better = Echo()
    async with Running(bus, name, better):
        await eventually(lambda: ids <= set(better.finished_ids), 30)


async def test_a_full_service_takes_no_more_and_goes_on_when_there_is_room(
    bus: Bus, request: pytest.FixtureRequest
) -> None:
    name, service = group(request), Echo()
    service.gate.clear()
    messages = [received() for _ in range(120)]
    ids = {message.id for message in messages}
    await bus.publish(messages)
    async with Running(bus, name, service, max_in_flight=10):
        await eventually(lambda: len(service.seen) == 10, 30)
        await asyncio.sleep(1.2)  # long enough for more to come, if the limit did not hold
        assert len(service.seen) == 10
        service.gate.set()
        await eventually(lambda: ids <= set(service.finished_ids), 30)


async def test_a_second_member_takes_its_share_and_nothing_is_skipped(bus: Bus, request: pytest.FixtureRequest) -> None:
    name, one, two = group(request), Echo(), Echo()
    async with Running(bus, name, one):
        first = [received() for _ in range(60)]
        await bus.publish(first)
        async with Running(bus, name, two):
            second = [received() for _ in range(60)]
            await bus.publish(second)
            wanted = {message.id for message in first + second}
            await eventually(lambda: wanted <= {*one.finished_ids, *two.finished_ids}, 60)
        third = [received() for _ in range(20)]
        await bus.publish(third)
        await eventually(lambda: {message.id for message in third} <= set(one.finished_ids), 60)
    assert two.finished_ids


async def test_a_group_that_begins_now_is_told_of_nothing_before_and_of_all_that_comes(
    bus: Bus, request: pytest.FixtureRequest
) -> None:
    """Also of what comes at once, and while nobody reads, in partitions that had brought nothing yet."""
    before, name = received(), group(request)
    await bus.publish([before])
    at_once, first = [received() for _ in range(5)], Echo()
    async with Running(bus, name, first, from_now=True):
        await bus.publish(at_once)
        await eventually(lambda: {message.id for message in at_once} <= set(first.seen), 30)
    assert before.id not in first.seen
    missed, service = [received() for _ in range(30)], Echo()
    await bus.publish(missed)
    async with Running(bus, name, service, from_now=True):
        await eventually(lambda: {message.id for message in missed} <= set(service.seen), 30)
    assert before.id not in service.seen


async def test_what_a_killed_owner_may_have_begun_is_suspect_and_nothing_else(
    bus: Bus, request: pytest.FixtureRequest
) -> None:
    name, service, next_one, last = group(request), Echo(), Echo(), Echo()
    service.gate.clear()
    begun = [received() for _ in range(5)]
    ids = {message.id for message in begun}
    await bus.publish(begun)
    running = Running(bus, name, service, announce=True, max_in_flight=5_000)  # other tests' records wait as well
    await running.__aenter__()
    await eventually(lambda: ids <= set(service.seen), 30)
    for task in running.consumer._tasks:
        task.cancel()  # it never hears how they ended
    running.task.cancel()
    await asyncio.gather(running.task, return_exceptions=True)
    async with Running(bus, name, next_one, announce=True):
        await eventually(lambda: ids <= set(next_one.finished_ids), 60)
        later = received()
        await bus.publish([later])
        await eventually(lambda: later.id in next_one.finished_ids, 30)
    assert ids <= next_one.suspects
    assert later.id not in next_one.suspects
    async with Running(bus, name, last, announce=True):  # the one before ended cleanly
        more = received()
        await bus.publish([more])
        await eventually(lambda: more.id in last.finished_ids, 30)
    assert not last.suspects


class Loading(Echo):
    """Takes its time to load what belongs to new partitions, and notes what it was given meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.loading = False
        self.loaded = asyncio.Event()
        self.loaded.set()
        self.early: list[str] = []

    async def assigned(self, partitions: frozenset[int]) -> None:  # noqa: ARG002
        self.loading = True
        await self.loaded.wait()
        self.loading = False

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        if self.loading:
            self.early.append(record.key)
        return await super().handle(record)


async def test_nothing_is_handled_before_the_tables_are_loaded_and_nothing_is_skipped(
    bus: Bus, request: pytest.FixtureRequest
) -> None:
    """Handled before, a verdict would find its message unknown; read meanwhile and dropped, it would be lost."""
    name, one, two = group(request), Loading(), Loading()
    messages = [received() for _ in range(60)]
    ids = {message.id for message in messages}
    async with Running(bus, name, one):
        one.loaded.clear()
        joining = asyncio.create_task(Running(bus, name, two).__aenter__())
        await eventually(lambda: one.loading, 60)
        await bus.publish(messages)
        await asyncio.sleep(1.5)  # long enough for them to be read, and to be handled if nothing held them back
        one.loaded.set()
        running = await joining
        await eventually(lambda: ids <= {*one.finished_ids, *two.finished_ids}, 60)
        await running.__aexit__()
    assert one.early == []
    assert two.early == []


async def test_a_table_comes_back_as_it_was_flushed(bus: Bus) -> None:
    table = Table(bus, PENDING, Pending)
    keep, drop, never = (Pending(id=received().id) for _ in range(3))
    for entry in (keep, drop, never):
        table.put(entry)
    table.delete(never.id)
    await table.flush()
    table.delete(drop.id)
    await table.flush()
    fresh = Table(bus, PENDING, Pending)
    await fresh.load(range(PENDING.partitions))
    assert fresh.get(keep.id) == keep
    assert fresh.get(drop.id) is None
    assert await of_ids(bus, PENDING, {never.id}) == []  # came and went between two commits: it cost nothing
    fresh.drop([fresh.partition_of(keep.id)])
    assert keep.id not in fresh


async def test_a_table_takes_out_what_was_written_though_nobody_heard_of_it() -> None:
    """The trap: after an acknowledgement that was lost no tombstone was written, and the entry came back for ever."""
    bus = MemoryBus()
    table, one = Table(bus, PENDING, Pending), Pending(id=received().id)
    table.put(one)
    bus.lose_acks = True
    with pytest.raises(BusUnavailable):
        await table.flush()
    bus.lose_acks = False
    table.delete(one.id)
    await table.flush()
    fresh = Table(bus, PENDING, Pending)
    await fresh.load(range(PENDING.partitions))
    assert one.id not in fresh


def deafen(client: Any) -> None:
    """End the task that tells aiokafka's client of its cluster, as it ended by itself under chaos."""
    client._sync_task.cancel()


async def test_a_producer_whose_client_is_deaf_is_replaced(kafka: str) -> None:
    """What it sent was never acknowledged: not until the next start of the process."""
    bus, message = KafkaBus(kafka, "contract-deaf"), received()
    await bus.start()
    before = bus._producer
    deafen(cast("Any", before).client)
    await asyncio.sleep(0)
    await bus.publish([message])
    assert bus._producer is not before
    assert len(await of_ids(bus, RECEIVED, {message.id})) == 1
    await bus.close()


async def test_a_member_whose_client_is_deaf_ends_so_that_another_begins(
    kafka: str, request: pytest.FixtureRequest
) -> None:
    bus = KafkaBus(kafka, "contract-deaf")
    running = Running(bus, group(request), Echo())
    await running.__aenter__()
    deafen(cast("Any", running.consumer._source)._consumer._client)
    with pytest.raises(StartError, match="is deaf, and must be started again"):
        await asyncio.wait_for(running.task, 30)
    await bus.close()
