"""The join over a broker in memory: any order, any crash, one disposition a message."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable

import msgspec

from schemas import wire
from schemas.catalog import DISPOSITIONS, OUTCOMES, PENDING, RECEIVED, RESCANS, VERDICTS, partition_of
from schemas.events import Customer, Disposition, Event, Pending, Received, Rescan, Status, Verdict
from services.core.clock import ManualClock
from services.policy.app import Policy, message_of
from services.policy.decide import asked as noted
from services.runtime.bus import Record, Tombstone
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


def in_one(*verdicts: Verdict) -> Verdict:
    return msgspec.structs.replace(verdicts[0], also=verdicts[1:])


async def test_answers_that_come_in_one_record_count_as_if_each_had_come_alone() -> None:
    house = House()
    early, late = received(), received()
    await house.bus.publish([in_one(verdict(early, "auth"), verdict(early, "virus"))])
    task = house.start()
    await eventually(lambda: house.policy.waiting == 1)
    await house.bus.publish([early, late, in_one(verdict(late, "auth"), verdict(late, "virus"))])
    await eventually(lambda: sorted(house.decided()) == sorted([early.id, late.id]))
    (found,) = [e for e in house.bus.events(DISPOSITIONS) if isinstance(e, Disposition) and e.received.id == late.id]
    assert [name.partition("/")[0] for name in found.scanners] == ["auth", "virus"]
    await eventually(lambda: house.policy.waiting == 0)
    await house.end(task)


async def test_one_unavailable_answer_among_several_is_asked_again() -> None:
    house = House()
    task = house.start()
    asking = asyncio.create_task(house.policy.ask_again(house.stop))
    message = received()
    await house.bus.publish([message, in_one(verdict(message, "auth"), verdict(message, "virus", Status.UNAVAILABLE))])
    await eventually(lambda: house.policy.waiting == 1)
    house.clock.advance(5)
    await eventually(lambda: len(house.bus.events(RESCANS)) == 1)
    (question,) = house.bus.events(RESCANS)
    assert isinstance(question, Rescan)
    assert question.scanners == ("virus",)
    await house.end(task)
    await asyncio.wait_for(asking, 5)


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


class SlowToAsk(MemoryBus):
    """A broker that acknowledges no question until it is told to."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.question = ""  # the id of the message that was asked for first
        self.go_on = asyncio.Event()

    async def publish(self, items: Iterable[Event | Tombstone], *, within: float = 10.0) -> None:
        kept = list(items)
        questions = [item.received.id for item in kept if isinstance(item, Rescan)]
        if questions:
            self.question = self.question or questions[0]
            await asyncio.wait_for(self.go_on.wait(), 10)
        await super().publish(kept, within=within)


async def test_what_is_answered_while_others_are_asked_for_is_not_asked_again() -> None:
    """The trap: what was due when the round began was put back, verdicts lost, though it had been decided meanwhile."""
    house = House()
    house.bus = bus = SlowToAsk(house.clock)
    task = house.start()
    first, second = received(), received()
    for message in (first, second):
        await bus.publish([message, verdict(message, "auth"), verdict(message, "virus", Status.UNAVAILABLE)])
    await eventually(lambda: house.policy.waiting == 2)
    asking = asyncio.create_task(house.policy.ask_again(house.stop))

    def asked() -> bool:
        house.clock.advance(5)
        return bool(bus.question)

    await eventually(asked)
    if bus.question == second.id:  # which of the two comes first is chance
        first, second = second, first
    await bus.publish([verdict(second, "virus")])
    await eventually(lambda: house.decided() == [second.id])
    await eventually(lambda: house.policy.waiting == 1)
    bus.go_on.set()
    await eventually(lambda: len(bus.events(RESCANS)) == 1)
    await bus.publish([verdict(first, "virus")])
    await eventually(lambda: set(house.decided()) == {second.id, first.id})  # read back by partition
    await eventually(lambda: house.policy.waiting == 0)
    assert [event.received.id for event in bus.events(RESCANS) if isinstance(event, Rescan)] == [first.id]
    await house.end(task)
    await asyncio.wait_for(asking, 5)


async def test_what_another_member_has_by_now_is_not_put_back_by_a_round_that_began_before() -> None:
    """The trap: put back, it was asked about every few minutes for ever, by a member that never hears the answers."""
    house = House()
    house.bus = bus = SlowToAsk(house.clock)
    task = house.start()
    messages = [received(), received()]
    for message in messages:
        await bus.publish([message, verdict(message, "auth"), verdict(message, "virus", Status.UNAVAILABLE)])
    await eventually(lambda: house.policy.waiting == 2)
    asking = asyncio.create_task(house.policy.ask_again(house.stop))

    def asked() -> bool:
        house.clock.advance(5)
        return bool(bus.question)

    await eventually(asked)
    await house.policy.revoked(frozenset(range(RECEIVED.partitions)))
    bus.go_on.set()
    await eventually(lambda: len(bus.events(RESCANS)) == 1)
    await asyncio.sleep(0.05)
    assert house.policy.waiting == 0
    assert [event.received.id for event in bus.events(RESCANS) if isinstance(event, Rescan)] == [bus.question]
    await house.end(task)
    await asyncio.wait_for(asking, 5)


async def test_a_question_that_was_lost_is_asked_again_before_long() -> None:
    """Policy that is killed between noting a question and publishing it leaves a message that nobody answers for."""
    house = House()
    task = house.start()
    message = received()
    await house.bus.publish([message, verdict(message, "auth"), verdict(message, "virus", Status.UNAVAILABLE)])
    await eventually(lambda: house.policy.waiting == 1)
    ((_, pending),) = house.policy._table.items()
    house.policy._table.put(noted(pending, house.clock.now()))
    await house.end(task)
    task = house.start()
    asking = asyncio.create_task(house.policy.ask_again(house.stop))
    await eventually(lambda: house.policy.waiting == 1)
    house.clock.advance(61)
    await eventually(lambda: len(house.bus.events(RESCANS)) == 1)
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


async def test_what_was_decided_before_its_message_came_again_does_not_wait_for_ever() -> None:
    """The trap: after a crash the last verdict comes before the message, which waits in the table already."""
    house = House()
    message = received()
    partition = partition_of(message.id, RECEIVED.partitions)
    first, last = (verdict(message, name, origin=4) for name in ("auth", "virus"))
    pending = Pending(id=message.id, received=message, origin=4, verdicts=(first,))
    await house.bus.publish([pending])
    await house.policy.assigned(frozenset({partition}))

    async def handle(event: Received | Verdict, offset: int) -> int:
        topic = RECEIVED if isinstance(event, Received) else VERDICTS
        record = Record(topic, partition, offset, message.id, event, NOW)
        made = await house.policy.handle(record)
        await house.policy.finished(record)
        return len(made)

    assert await handle(last, 9) == 1
    assert await handle(message, 4) == 0
    assert await handle(last, 9) == 0  # and once more
    assert house.policy.waiting == 0
    assert await handle(message, 7) == 0  # published again by a recovery: it is to be decided anew
    assert house.policy.waiting == 1


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
