"""What people order, how small a waiting message is, and that nobody stands in another's way."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

import msgspec
import pytest

from bench.waiting import disposition as typical
from schemas.catalog import DEFERRED, QUEUES, key_of
from schemas.events import Customer, Deferred, Domain, Host, Order, QueueCommand, QueueState, State
from services.cli.queue import age
from services.core.clock import ManualClock
from services.delivery.decide import DAY
from services.delivery.destination import Gate
from services.delivery.fakes import MemoryMta
from services.delivery.report import Reporter
from services.delivery.session import Session
from services.delivery.shelf import Shelf
from services.delivery.states import merged
from services.runtime.fakes import MemoryBus
from tests.eventually import eventually
from tests.samples import NOW
from tests.unit.test_delivery import ALL, B, Bench, C, arrived

WHERE = "mta.test:25"


def command(action: Order, at: float = NOW, **target: str) -> QueueCommand:
    where = target or {"destination": WHERE}
    return QueueCommand(
        command_id="01JD8ZK3Q4V6T8W0X2Y4Z6A8B0",
        action=action,
        customer="example",
        by="ann",
        why="because",
        at=at,
        **where,
    )


async def test_a_held_destination_gets_nothing_until_it_is_resumed() -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    bench.delivery.queue.obey(command(Order.HOLD), now=NOW)
    await bench.deliver(B)
    await bench.run(7200)
    assert arrived(bench) == []
    assert bench.waiting()[0].reply == "held by ann: because"
    bench.delivery.queue.obey(command(Order.RESUME), now=bench.clock.now())
    await bench.run()
    assert bench.ends() == [(B, State.DELIVERED)]
    await bench.delivery.close()


async def test_a_hold_outlives_the_process_and_not_the_promise() -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    bench.delivery.queue.obey(command(Order.HOLD), now=NOW)
    await bench.deliver(B)
    await bench.delivery.before_commit()
    bench.delivery = bench.another()
    bench.delivery.queue.obey(command(Order.HOLD), now=NOW)  # the topic says it again
    await bench.delivery.assigned(ALL)
    await bench.run(9 * DAY)
    assert arrived(bench) == []
    await bench.run(DAY + 60)
    assert bench.ends() == [(B, State.EXPIRED)]
    await bench.delivery.close()


async def test_a_held_message_waits_alone() -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    one, other = await bench.message(B), await bench.message(C)
    bench.delivery.queue.obey(command(Order.HOLD, message=one.received.id), now=NOW)
    await bench.handle(one)
    await bench.handle(other)
    await bench.run(4000)
    assert bench.ends() == [(C, State.DELIVERED)]
    bench.delivery.queue.obey(command(Order.RESUME, message=one.received.id), now=bench.clock.now())
    await bench.run()
    assert sorted(bench.ends()) == [(B, State.DELIVERED), (C, State.DELIVERED)]
    await bench.delivery.close()


@pytest.mark.parametrize("target", ["destination", "message"])
async def test_what_is_failed_ends_as_bounced_and_what_comes_later_does_not(target: str) -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    bench.mta.manners.up = False
    disposition = await bench.message(B)
    await bench.handle(disposition)
    which = {"destination": WHERE} if target == "destination" else {"message": disposition.received.id}
    order = command(Order.FAIL, at=bench.clock.now() + 1, **which)
    bench.delivery.queue.obey(order, now=bench.clock.now())
    await bench.run(2)
    assert bench.ends() == [(B, State.BOUNCED)]
    await bench.deliver(C)
    bench.mta.manners.up = True
    await bench.run(100)
    assert (C, State.DELIVERED) in bench.ends()
    await bench.delivery.close()


async def test_what_is_failed_while_the_queue_is_taken_over_ends_and_the_rest_waits() -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    bench.mta.manners.up = False
    await bench.bus.publish([entry(number) for number in range(-1000, 0)])
    disposition = await bench.message(B)  # the youngest, so it is taken over last
    await bench.handle(disposition)
    await bench.delivery.before_commit()
    bench.delivery = bench.another()
    queue = bench.delivery.queue
    cut = await bench.delivery._shelf.load(ALL, queue.place)
    queue.tick()  # a load takes its time, and nothing stands in line yet
    adopting = asyncio.create_task(queue.adopt(ALL, cut))
    while not queue.destinations.numbered(1).waiting:  # noqa: ASYNC110 - turn by turn
        await asyncio.sleep(0)
    order = command(Order.FAIL, at=bench.clock.now() + 1, message=disposition.received.id)
    queue.obey(order, now=bench.clock.now())
    key = f"{disposition.received.id}/0"
    bench.delivery._shelf.delete(key)  # as if the end had been published at once
    await adopting
    assert len(bench.waiting()) == 1000
    assert sum(len(destination.waiting) for destination in queue.destinations) == 1000
    await bench.delivery.close()


async def test_a_flush_asks_at_once() -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    bench.mta.manners.up = False
    await bench.deliver(B)
    bench.mta.manners.up = True
    bench.delivery.queue.obey(command(Order.FLUSH), now=bench.clock.now())
    await bench.run()
    assert bench.ends() == [(B, State.DELIVERED)]
    await bench.delivery.close()


async def test_what_delivery_tells_is_what_the_command_shows() -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    bench.mta.manners.up = False
    await bench.deliver(B)
    reporter = Reporter(bench.bus, bench.delivery.queue, bench.clock)
    await reporter.assigned(ALL)
    await reporter.report()
    states = [event for event in bench.bus.events(QUEUES) if isinstance(event, QueueState)]
    (row,) = merged(states, [command(Order.HOLD)], bench.clock.now())
    assert (row.customer, row.destination, row.state, row.depth, row.oldest) == ("example", WHERE, "down", 1, NOW)
    assert "refused" in row.reply
    assert row.held == "ann: because"
    assert merged(states, [], bench.clock.now() + 3600) == []  # whoever said that is gone
    assert [age(seconds) for seconds in (5, 65, 7300, 3 * DAY)] == ["5s", "1m", "2h", "3d"]
    bench.mta.manners.up = True
    await bench.run(100)
    await reporter.report()
    (log,) = (records for slot, records in bench.bus.logs.items() if slot[0] == QUEUES.name)
    assert log[-1].value is None
    await bench.delivery.close()


# --- small


def entry(number: int) -> Deferred:
    made = typical("dead", "dead.test", NOW + number)
    to = made.branches[0].recipients
    return Deferred(disposition=made, branch=0, recipients=to, attempts=0, since=NOW + number, next_at=NOW, reply="")


def test_a_waiting_message_takes_a_few_hundred_octets() -> None:
    shelf = Shelf(MemoryBus())
    entries = [entry(number) for number in range(200)]
    for one in entries:
        shelf.put(one, 7)
    assert shelf.get(key_of(entries[3])) == entries[3]
    waiting = [item for live in shelf._live.values() for part in live.parts for item in part.items()]
    octets = sum(sys.getsizeof(key) + sys.getsizeof(packed) for key, packed in waiting) / 200
    assert octets < 500
    assert shelf.home(key_of(entries[0])) == 7


async def test_a_shelf_is_a_table() -> None:
    bus = MemoryBus(ManualClock(NOW))
    shelf, chance = Shelf(bus), random.Random(7)
    model: dict[str, Deferred] = {}
    entries = [entry(number) for number in range(30)]
    for _ in range(400):
        one = chance.choice(entries)
        match chance.randrange(4):
            case 0 | 1:
                one = msgspec.structs.replace(one, attempts=chance.randrange(9))
                model[key_of(one)] = one
                shelf.put(one)
            case 2:
                model.pop(key_of(one), None)
                shelf.delete(key_of(one))
            case _:
                await shelf.flush()
    assert dict(shelf.items()) == model
    await shelf.flush()
    again = Shelf(bus)
    await again.load(ALL, lambda _: 1)
    assert dict(again.items()) == model
    assert list(await again.keys(ALL)) == sorted(model, key=lambda key: model[key].since)
    await again.drop(ALL)
    assert len(again) == 0


async def test_a_shelf_that_cannot_write_keeps_it_due() -> None:
    bus = MemoryBus(ManualClock(NOW))
    shelf = Shelf(bus)
    shelf.put(entry(1))
    bus.down = True
    with pytest.raises(Exception, match="by order of the test"):
        await shelf.flush()
    bus.down = False
    await shelf.flush()
    assert len(bus.events(DEFERRED)) == 1


async def test_what_was_written_though_nobody_heard_of_it_is_taken_out_again() -> None:
    """The trap: after an acknowledgement that was lost no tombstone was written, and what had ended waited again."""
    bus = MemoryBus(ManualClock(NOW))
    shelf, one = Shelf(bus), entry(1)
    shelf.put(one)
    bus.lose_acks = True
    with pytest.raises(Exception, match="by order of the test"):
        await shelf.flush()
    bus.lose_acks = False
    shelf.delete(key_of(one))
    await shelf.flush()
    again = Shelf(bus)
    await again.load(ALL, lambda _: 1)
    assert len(again) == 0


# --- a crash in the middle of an attempt


async def test_an_attempt_that_a_crash_cut_off_is_a_possible_duplicate() -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    bench.mta.manners.recipients = {B: (450, "4.2.1 busy"), C: (450, "4.2.1 busy")}
    await bench.deliver(B)
    await bench.deliver(C)
    await bench.delivery.before_commit()
    bench.mta.manners.recipients = {C: (450, "4.2.1 busy")}
    bench.mta.held = asyncio.Event()
    bench.clock.advance(61)
    bench.delivery.queue.tick()
    await eventually(
        lambda: len([e for e in bench.bus.events(DEFERRED) if isinstance(e, Deferred) and e.under_way]) == 2
    )
    crashed, bench.delivery = bench.delivery, bench.another()
    await bench.delivery.assigned(ALL)
    assert all(one.possible_duplicate and not one.under_way for one in bench.waiting())
    bench.mta.held.set()
    await crashed.close()
    await bench.delivery.close()


async def test_a_record_that_a_killed_owner_may_have_begun_is_a_possible_duplicate() -> None:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    for suspect in (False, True):
        record = bench.record(await bench.message(B))
        (outcome,) = await bench.delivery.handle(type(record)(**{**_fields(record), "suspect": suspect}))
        assert getattr(outcome, "possible_duplicate", None) is suspect
    await bench.delivery.close()


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


# --- nobody stands in another's way


class OneDead(MemoryMta):
    """dead.test takes connections and then says nothing."""

    async def __call__(self, host: Host) -> Session:
        if host.host == "dead.test":
            await asyncio.Event().wait()
        return await super().__call__(host)


class TwoCustomers(Bench):
    """One of them has the dead MTA."""

    def customer(self, customer: str) -> Customer | None:
        dead = Domain(name="dead.test", relay=(Host(host="dead.test"),))
        return Customer(id="dead", domains=(dead,)) if customer == "dead" else super().customer(customer)


async def test_a_flood_for_one_that_does_not_answer_leaves_the_loop_to_others() -> None:
    bench = TwoCustomers(mta=OneDead(), relay_patience_seconds=30)
    await bench.delivery.assigned(ALL)
    flood = [typical("dead", "dead.test", NOW) for _ in range(500)]
    for one in flood:
        await bench.store.put(one.received.key, [b"x"])
    tasks = [asyncio.create_task(bench.handle(one)) for one in flood]
    for _ in range(50):
        await asyncio.sleep(0)
    stuck = sum(not task.done() for task in tasks)
    assert stuck <= bench.config.relay_connections + bench.config.relay_crowd  # a fraction of what the loop takes
    assert [one.state for one in await bench.deliver(B)] == [State.DELIVERED]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await bench.delivery.close()


def test_a_gate_doubles_with_each_round_and_after_trouble_grows_carefully() -> None:
    gate = Gate(20, 5)
    rounds = [gate.limit]
    for _ in range(3):
        for _ in range(gate.limit):
            gate.succeed()
        rounds.append(gate.limit)
    assert rounds == [5, 10, 20, 20]
    gate.lower(4)
    lowered = gate.lowered
    for _ in range(4):
        gate.succeed()
    assert gate.limit == 4
    gate.afresh()
    assert (lowered, gate.lowered) == (True, False)
    assert gate.limit == 2
