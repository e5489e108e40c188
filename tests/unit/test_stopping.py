"""A process that is told to stop: unready first, then an end, whatever the broker does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

import pytest

from schemas.catalog import OUTCOMES, RECEIVED
from schemas.events import Event, Outcome, Received, State
from services.core.clock import SystemClock
from services.core.errors import BusUnavailable, StoreUnavailable
from services.core.waiting import before
from services.runtime.bus import Record, Stateless, Tombstone
from services.runtime.consume import Consumer
from services.runtime.fakes import MemoryBus
from services.runtime.health import Health
from services.runtime.neighbours import watch
from services.runtime.patience import Patience
from services.runtime.stopping import Stopping
from tests.eventually import eventually
from tests.samples import received

SOON = 2.0  # seconds: far below every limit that a call to the broker has by itself


class Ending(Stateless):
    """Answers a message with its outcome, once it may."""

    def __init__(self) -> None:
        self.seen = 0
        self.may = asyncio.Event()
        self.may.set()

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        assert isinstance(record.event, Received)
        self.seen += 1
        await self.may.wait()
        message = record.event
        return (
            Outcome(
                id=message.id,
                customer=message.customer,
                key=message.key,
                recipients=message.envelope.recipients,
                total=len(message.envelope.recipients),
                state=State.DELIVERED,
                at=1.0,
                received_at=1.0,
            ),
        )


class Running:
    def __init__(self, bus: MemoryBus) -> None:
        self.bus, self.stop, self.service = bus, asyncio.Event(), Ending()
        self.consumer = Consumer(
            "g", bus.source("g", (RECEIVED,)), self.service, bus, SystemClock(), announce=True, max_in_flight=10
        )
        self.task = asyncio.create_task(self.consumer.run(self.stop))

    async def end(self, within: float = 0.2) -> float:
        """Tell it to stop; return the seconds that it took."""
        began = time.monotonic()
        self.stop.set()
        self.bus.hurry(within)
        async with asyncio.timeout(20):
            await self.task
        return time.monotonic() - began


# --- a broker that is silent


async def test_a_consumer_whose_results_wait_for_a_silent_broker_ends_all_the_same() -> None:
    bus = MemoryBus()
    running = Running(bus)
    await running.consumer.assigned_once.wait()
    running.service.may.clear()
    await bus.publish([received() for _ in range(5)])
    await eventually(lambda: running.service.seen == 5)
    bus.silent = True
    running.service.may.set()
    assert await running.end() < SOON
    assert bus.events(OUTCOMES) == []
    assert bus.groups["g"] == []


async def test_a_consumer_that_waits_to_join_ends_as_soon_as_it_is_told() -> None:
    bus = MemoryBus()
    bus.silent = True
    running = Running(bus)
    await asyncio.sleep(0.05)
    assert not running.consumer.assigned_once.is_set()
    assert await running.end(within=60.0) < SOON


async def test_with_a_broker_that_answers_work_in_flight_is_finished_and_committed() -> None:
    bus = MemoryBus()
    running = Running(bus)
    await running.consumer.assigned_once.wait()
    messages = [received() for _ in range(30)]
    await bus.publish(messages)
    await eventually(lambda: len(bus.events(OUTCOMES)) >= 1)
    assert await running.end() < SOON
    done = len(bus.events(OUTCOMES))
    assert sum(offset for (group, _), offset in bus.offsets.items() if group == "g") == done
    assert bus.groups["g"] == []


# --- patience


async def test_a_wait_has_its_own_limit_until_there_is_a_hurry() -> None:
    patience = Patience()
    with pytest.raises(TimeoutError):
        async with patience.within(0.02):
            await asyncio.sleep(5)
    began = time.monotonic()
    asyncio.get_running_loop().call_later(0.02, patience.hurry, 0.05)
    with pytest.raises(TimeoutError):
        async with patience.within(5):
            await asyncio.sleep(5)
    with pytest.raises(TimeoutError):  # the time of all, not of each
        async with patience.within(5):
            await asyncio.sleep(5)
    assert time.monotonic() - began < SOON


async def test_an_answer_gives_those_who_wait_a_little_longer_and_never_more_than_their_own_limit() -> None:
    patience = Patience()
    patience.hurry(0.2)
    loop = asyncio.get_running_loop()
    for number in range(1, 8):
        loop.call_later(0.08 * number, patience.answered)
    async with patience.within(5):
        await asyncio.sleep(0.5)
    with pytest.raises(TimeoutError):
        async with patience.within(0.05):
            await asyncio.sleep(0.5)


async def test_a_connection_is_let_go_of_when_no_patience_is_left() -> None:
    patience = Patience()
    patience.hurry(0.0)
    async with patience.within(5, at_least=0.5):
        await asyncio.sleep(0.01)


async def test_what_is_cut_off_has_ended_when_the_wait_ends() -> None:
    stop, ended = asyncio.Event(), False

    async def work() -> None:
        nonlocal ended
        try:
            await asyncio.sleep(60)
        finally:
            ended = True

    asyncio.get_running_loop().call_later(0.01, stop.set)
    assert await before(stop, work()) is False
    assert ended
    assert await before(asyncio.Event(), asyncio.sleep(0)) is True

    async def fail() -> None:
        raise BusUnavailable("x")

    with pytest.raises(BusUnavailable):
        await before(asyncio.Event(), fail())


# --- the signal


def stays() -> None:
    """In place of the end of the process, which is pytest's here."""


def reasons(health: Health) -> dict[str, str]:
    found: dict[str, str] = json.loads(health.readiness()[1])["reasons"]
    return found


async def test_it_is_unready_before_it_stops_and_a_second_signal_does_not_wait() -> None:
    stop, health, hurried = asyncio.Event(), Health(time.monotonic), asyncio.Event()
    stopping = Stopping(stop, health, hurried.set, 60.0, stays)
    stopping.told()
    assert reasons(health) == {"process": "stopping"}
    assert not stop.is_set()
    stopping.told()
    assert stop.is_set()
    assert hurried.is_set()


async def test_the_stop_follows_the_pause() -> None:
    stop, hurried = asyncio.Event(), asyncio.Event()
    Stopping(stop, Health(time.monotonic), hurried.set, 0.05, stays).told()
    assert not stop.is_set()
    await eventually(stop.is_set)
    assert hurried.is_set()


# --- neighbours


class Shop:
    """A store that is there or not."""

    def __init__(self) -> None:
        self.away = False

    async def check(self) -> None:
        if self.away:
            raise StoreUnavailable("refused")


async def test_a_neighbour_that_goes_away_later_makes_unready_with_a_reason_until_it_is_back() -> None:
    bus, store, health = MemoryBus(), Shop(), Health(time.monotonic)
    watching = asyncio.create_task(watch(bus, store, health, every=0.01, store_every=0.01))
    await asyncio.sleep(0.05)
    assert reasons(health) == {}
    store.away = bus.down = True
    await eventually(lambda: reasons(health).keys() == {"broker", "store"})
    assert reasons(health)["store"] == "waiting for the store: refused"
    store.away = False
    await eventually(lambda: reasons(health).keys() == {"broker"})
    bus.down = False
    await eventually(lambda: reasons(health) == {})
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_one_answer_that_is_missed_takes_nobody_out() -> None:
    bus, health, misses = MemoryBus(), Health(time.monotonic), 0

    class Now:
        async def check(self) -> None:
            nonlocal misses
            misses += 1
            if misses % 2:
                raise BusUnavailable("late")

    watching = asyncio.create_task(watch(bus, Now(), health, every=0.005, store_every=0.005))
    for _ in range(30):
        await asyncio.sleep(0.005)
        assert reasons(health) == {}
    assert misses > 3
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
