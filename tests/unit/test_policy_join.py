"""The join over a broker in memory: any order, any crash, one disposition a message."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from schemas import wire
from schemas.catalog import DISPOSITIONS, OUTCOMES, PENDING, RECEIVED, RESCANS, VERDICTS, partition_of
from schemas.events import Customer, Disposition, Received, Rescan, Status, Verdict
from services.core.clock import ManualClock
from services.policy.app import Policy, message_of
from services.runtime.consume import Consumer
from services.runtime.fakes import MemoryBus
from tests.eventually import eventually
from tests.samples import NOW, received, verdict


def offsets(messages: list[Received]) -> list[int]:
    """Return the offset that each message gets in its partition when they are published in this order."""
    ends: Counter[int] = Counter()
    given = []
    for message in messages:
        partition = partition_of(message.id, RECEIVED.partitions)
        given.append(ends[partition])
        ends[partition] += 1
    return given


class House:
    """A policy service on a broker in memory, which can be killed and started again."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.bus = MemoryBus(self.clock)
        self.stop = asyncio.Event()
        self.policy = self._policy()

    def _policy(self) -> Policy:
        return Policy(self.bus, lambda name: Customer(id=name), self.clock)

    def start(self) -> asyncio.Task[None]:
        self.stop = asyncio.Event()
        self.policy = self._policy()
        self.source = self.bus.source("policy", (RECEIVED, VERDICTS))
        consumer = Consumer("policy", self.source, self.policy, self.bus, self.clock, tied_to=message_of)
        return asyncio.create_task(consumer.run(self.stop))

    async def end(self, task: asyncio.Task[None]) -> None:
        self.stop.set()
        await asyncio.wait_for(task, 10)

    async def kill(self, task: asyncio.Task[None]) -> None:
        self.source.crash()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def decided(self) -> list[str]:
        return [event.received.id for event in self.bus.events(DISPOSITIONS) if isinstance(event, Disposition)]


async def test_a_message_is_decided_once_its_plan_has_answered() -> None:
    house = House()
    task = house.start()
    message = received()
    await house.bus.publish([message, verdict(message, "auth")])
    await eventually(lambda: house.policy.waiting == 1)
    assert house.decided() == []
    await house.bus.publish([verdict(message, "virus")])
    await eventually(lambda: house.decided() == [message.id])
    await eventually(lambda: house.policy.waiting == 0)
    await house.end(task)


async def test_verdicts_that_come_before_their_message_are_kept() -> None:
    house = House()
    message = received()
    await house.bus.publish([verdict(message, "auth"), verdict(message, "virus")])
    task = house.start()
    await eventually(lambda: house.policy.waiting == 1)
    await house.bus.publish([message])
    await eventually(lambda: house.decided() == [message.id])
    await house.end(task)


async def test_a_second_answer_on_a_decided_message_leaves_nothing_behind() -> None:
    house = House()
    task = house.start()
    message = received()
    await house.bus.publish([message, verdict(message, "auth"), verdict(message, "virus")])
    await eventually(lambda: house.decided() == [message.id])
    await eventually(lambda: house.policy.waiting == 0)
    await house.bus.publish([verdict(message, "virus"), verdict(message, "auth", Status.GONE)])
    await asyncio.sleep(0.05)
    assert house.policy.waiting == 0
    assert house.decided() == [message.id]
    assert house.bus.events(OUTCOMES) == []
    await house.end(task)


async def test_an_unavailable_scanner_is_asked_again_until_it_answers() -> None:
    house = House()
    task = house.start()
    asking = asyncio.create_task(house.policy.ask_again(house.stop))
    message = received()
    await house.bus.publish([message, verdict(message, "auth"), verdict(message, "virus", Status.UNAVAILABLE)])
    await eventually(lambda: house.policy.waiting == 1)
    house.clock.advance(5)
    await eventually(lambda: len(house.bus.events(RESCANS)) == 1)
    (question,) = house.bus.events(RESCANS)
    assert isinstance(question, Rescan)
    assert (question.scanners, question.attempt, question.received) == (("virus",), 1, message)
    assert house.decided() == []
    await house.bus.publish([verdict(message, "virus")])
    await eventually(lambda: house.decided() == [message.id])
    await house.end(task)
    await asyncio.wait_for(asking, 5)


async def test_a_scanner_that_stays_unavailable_is_asked_again_after_each_answer() -> None:
    """The trap: an answer quicker than the question's own acknowledgement put the next question off for good."""
    house = House()
    task = house.start()
    asking = asyncio.create_task(house.policy.ask_again(house.stop))
    message = received()
    await house.bus.publish([message, verdict(message, "auth"), verdict(message, "virus", Status.UNAVAILABLE)])
    questions = 0

    def asked_once_more() -> bool:
        house.clock.advance(1)
        return len(house.bus.events(RESCANS)) > questions

    for _ in range(4):
        await eventually(asked_once_more)
        questions += 1
        await house.bus.publish([verdict(message, "virus", Status.UNAVAILABLE)])
    await house.bus.publish([verdict(message, "virus")])
    await eventually(lambda: house.decided() == [message.id])
    await house.end(task)
    await asyncio.wait_for(asking, 5)


async def test_what_waits_survives_a_clean_restart_without_reading_its_records_again() -> None:
    house = House()
    task = house.start()
    message = received()
    await house.bus.publish([message, verdict(message, "auth")])
    await eventually(lambda: house.policy.waiting == 1)
    await house.end(task)
    assert len(house.bus.events(PENDING)) == 1
    task = house.start()
    await house.bus.publish([verdict(message, "virus")])
    await eventually(lambda: house.decided() == [message.id])
    await house.end(task)


async def test_no_message_is_lost_or_stuck_when_policy_is_killed_again_and_again() -> None:
    chance = random.Random(20261123)
    house = House()
    messages = [received() for _ in range(150)]
    events: list[Received | Verdict] = []
    for message, origin in zip(messages, offsets(messages), strict=True):
        events += [message, *(verdict(message, name, origin=origin) for name in message.plan)]
    # Policy may see a verdict before its message: they lie in different topics. Messages keep their own order.
    places = sorted(range(len(events)), key=lambda place: place // 3 + chance.random() * 20)
    order = iter(messages)
    events = [next(order) if isinstance(events[p], Received) else events[p] for p in places]
    task = house.start()
    for event in events:
        await house.bus.publish([event])
        if chance.random() < 0.04:
            await asyncio.sleep(chance.random() * 0.02)
            await house.kill(task)
            task = house.start()
    await eventually(lambda: set(house.decided()) == {message.id for message in messages})
    await eventually(lambda: house.policy.waiting == 0)
    await house.end(task)


async def test_an_acknowledgement_that_is_lost_leaves_the_message_decidable() -> None:
    """The trap: a pending message taken out of its table before the disposition was acknowledged, then a crash."""
    house = House()
    task = house.start()
    message = received()
    await house.bus.publish([message, verdict(message, "auth")])
    await eventually(lambda: house.policy.waiting == 1)
    await asyncio.sleep(0.7)  # one commit: the first two records are behind us for good
    house.bus.append(VERDICTS, message.id, wire.encode(verdict(message, "virus")))
    house.bus.down = True
    async with house.bus.grown:
        house.bus.grown.notify_all()
    await asyncio.sleep(0.05)
    await house.kill(task)
    house.bus.down = False
    task = house.start()
    await eventually(lambda: house.decided() == [message.id])
    await house.end(task)
