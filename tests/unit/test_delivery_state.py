"""The small machines under delivery: up and down, places, times, memory."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Host
from services.core.clock import ManualClock
from services.delivery.budget import Budget
from services.delivery.config import DeliveryConfig
from services.delivery.destination import SICK, Destination, Gate, Health, Probing
from services.delivery.dial import Unreachable
from services.delivery.fakes import Manners, MemoryMta
from services.delivery.pool import Pool
from services.delivery.schedule import Schedule
from services.delivery.seen import Seen

PROBING = Probing(1.0, 60.0)
MIDDLE = 0.5


def down(health: Health, now: float = 0.0) -> Health:
    attempt = object()
    health.begin(attempt)
    health.unreachable(attempt, now, MIDDLE)
    return health


def test_a_destination_is_up_until_nobody_answers() -> None:
    health = Health(PROBING)
    assert health.admits(0)
    down(health, 10)
    assert health.down
    assert not health.admits(10.5)
    assert health.admits(11)
    assert health.next_probe() == 11


def test_probes_go_one_at_a_time_and_ever_more_rarely() -> None:
    health = down(Health(PROBING))
    now, waits = 0.0, []
    for _ in range(8):
        waits.append(health.probe_at - now)
        now = health.probe_at
        probe = object()
        assert health.admits(now)
        health.begin(probe)
        assert not health.admits(now)
        assert health.next_probe() is None
        health.unreachable(probe, now, MIDDLE)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_attempts_that_were_on_their_way_count_as_one_failure() -> None:
    health = Health(PROBING)
    for attempt in ("a", "b", "c"):
        health.begin(attempt)
    for attempt in ("a", "b", "c"):
        health.unreachable(attempt, 0, MIDDLE)
    assert health.probe_at == 1


def test_a_probe_that_tells_nothing_is_given_back() -> None:
    health = down(Health(PROBING))
    health.begin("probe")
    health.abandon("another")
    assert not health.admits(5)
    health.abandon("probe")
    assert health.admits(5)


def test_the_first_answer_after_an_outage_lets_all_come() -> None:
    health = down(Health(PROBING))
    assert health.answered(delivered=False, put_off=True)
    assert not health.down
    assert not health.answered(delivered=True, put_off=False)


def test_a_destination_that_put_everybody_off_lets_all_come_at_its_first_success() -> None:
    health = Health(PROBING)
    for _ in range(SICK):
        assert not health.answered(delivered=False, put_off=True)
    assert not health.answered(delivered=False, put_off=False)  # a bounce says nothing of that
    assert health.answered(delivered=True, put_off=False)
    assert not health.answered(delivered=True, put_off=False)


def test_one_message_put_off_does_not() -> None:
    health = Health(PROBING)
    assert not health.answered(delivered=False, put_off=True)
    assert not health.answered(delivered=True, put_off=False)


def test_suspicion_asks_first() -> None:
    health = Health(PROBING)
    health.suspect(5)
    assert health.admits(5)
    health.begin("probe")
    assert not health.admits(5)
    assert health.answered(delivered=True, put_off=False)


async def test_a_gate_lets_so_many_in_in_order() -> None:
    gate, order = Gate(2), []

    async def enter(name: str) -> None:
        await gate.enter()
        order.append(name)

    tasks = [asyncio.create_task(enter(name)) for name in "abcd"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (order, gate.waiting, gate.inside) == (["a", "b"], 2, 2)
    gate.leave()
    gate.leave()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c", "d"]


async def test_who_gives_up_at_a_gate_leaves_no_hole() -> None:
    gate = Gate(1)
    await gate.enter()
    one, two, three = (asyncio.create_task(gate.enter()) for _ in range(3))
    await asyncio.sleep(0)
    one.cancel()
    gate.leave()  # goes to `two` or, if the cancelled one had it, is passed on
    two.cancel()  # has its place already, and never learns of it
    await asyncio.wait({one, two})
    await asyncio.wait_for(three, 1)
    assert (gate.inside, gate.waiting) == (1, 0)


async def test_a_lowered_gate_rises_with_success() -> None:
    gate = Gate(20)
    gate.lower(0)
    assert gate.limit == 1
    for _ in range(30):
        gate.succeed()
    assert gate.limit in {3, 4}
    for _ in range(1000):
        gate.succeed()
    assert gate.limit == 20


def test_a_flush_is_oldest_first_and_forgets_who_left() -> None:
    destination = Destination(1, "d", "mta.test:25", Gate(20), Health(PROBING))
    for key in "abc":
        destination.waiting.add(key)
    destination.let("c")
    destination.flush()
    destination.waiting.discard("b")
    assert [destination.next_ready() for _ in range(3)] == ["a", "c", None]


def test_every_message_is_the_probe_in_its_turn() -> None:
    destination = Destination(1, "d", "mta.test:25", Gate(20), Health(PROBING))
    assert destination.next_probe() is None
    for key in "abc":
        destination.waiting.add(key)
    assert [destination.next_probe() for _ in range(4)] == ["a", "b", "c", "a"]


def test_a_schedule_gives_what_is_due() -> None:
    schedule = Schedule()
    schedule.set("a", 5)
    schedule.set("b", 3)
    schedule.set("c", 4)
    schedule.set("a", 1)
    schedule.cancel("c")
    assert schedule.next_at() == 1
    assert schedule.pop_due(3, 10) == ["a", "b"]
    assert schedule.pop_due(9, 10) == []
    assert schedule.next_at() is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20) | st.none()), max_size=300))
def test_a_schedule_is_a_dictionary_with_an_order(steps: list[tuple[str, int | None]]) -> None:
    schedule, model = Schedule(), dict[str, int]()
    for key, at in steps:
        if at is None:
            schedule.cancel(key)
            model.pop(key, None)
        else:
            schedule.set(key, at)
            model[key] = at
    assert len(schedule) == len(model)
    assert schedule.next_at() == min(model.values(), default=None)
    due = schedule.pop_due(10, 1000)
    assert sorted(due) == sorted(key for key, at in model.items() if at <= 10)
    assert [model[key] for key in due] == sorted(model[key] for key in due)


def test_a_schedule_keeps_no_seconds_in_which_nothing_is_due() -> None:
    schedule = Schedule()
    for second in range(10_000):
        schedule.set("moved", second + 0.5)
    assert len(schedule._order) < 100
    assert schedule.pop_due(1e6, 10) == ["moved"]
    assert schedule.next_at() is None
    for number in range(30):
        schedule.set(str(number), 7 - number / 10)
    assert [schedule.pop_due(10, 7) for _ in range(5)] == [
        [str(number) for number in range(last, max(-1, last - 7), -1)] for last in (29, 22, 15, 8, 1)
    ]


async def test_memory_is_shared_out_in_order() -> None:
    budget, order = Budget(100), []
    free = asyncio.Event()

    async def hold(name: str, octets: int) -> None:
        async with budget.hold(octets):
            order.append(name)
            await free.wait()

    tasks = [asyncio.create_task(hold(name, n)) for name, n in [("a", 60), ("b", 1000), ("c", 10)]]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == ["a"]  # b wants all of it, and c does not overtake
    tasks[1].cancel()
    await asyncio.wait({tasks[1]})
    await asyncio.sleep(0)
    assert order == ["a", "c"]
    free.set()
    await asyncio.gather(tasks[0], tasks[2])
    async with budget.hold(100):
        pass


def test_what_was_seen_is_bounded() -> None:
    seen = Seen(most=3)
    seen.add("m1", ["a", "b"])
    seen.add("m2", ["a"])
    seen.add("m1", ["a"])
    seen.add("m3", ["a"])
    assert len(seen) == 3
    assert ("m1", "b") not in seen
    assert ("m1", "a") in seen
    assert seen.knows("m1")
    seen.add("m4", ["a", "b"])
    assert not seen.knows("m2")
    assert seen.knows("m1") is (("m1", "a") in seen)


# --- the pool

HOST = Host(host="mta.test")


def pool(mta: MemoryMta, clock: ManualClock) -> Pool:
    config = DeliveryConfig(hostname="mx.gatepost.test", relay_messages_per_connection=3, relay_idle_seconds=30)
    return Pool(config, mta, clock, lambda: MIDDLE)


async def test_a_connection_is_used_again_for_the_same_customer() -> None:
    mta, clock = MemoryMta(), ManualClock()
    kept = pool(mta, clock)
    first = await kept.take("one", HOST)
    kept.give(first)
    assert await kept.take("one", HOST) is first
    kept.give(first)
    assert await kept.take("two", HOST) is not first
    assert mta.connections == 2


async def test_a_connection_ends_after_so_many_messages() -> None:
    mta, clock = MemoryMta(), ManualClock()
    kept = pool(mta, clock)
    for _ in range(4):
        kept.give(await kept.take("one", HOST))
    await kept.close()
    assert (mta.connections, mta.open) == (2, 0)


async def test_an_idle_connection_is_given_up() -> None:
    mta, clock = MemoryMta(), ManualClock()
    kept = pool(mta, clock)
    kept.give(await kept.take("one", HOST))
    clock.advance(29)
    kept.sweep()
    assert mta.open == 1
    clock.advance(2)
    kept.sweep()
    await kept.close()
    assert mta.open == 0


async def test_a_connection_that_died_meanwhile_is_replaced() -> None:
    mta, clock = MemoryMta(), ManualClock()
    kept = pool(mta, clock)
    lease = await kept.take("one", HOST)
    kept.give(lease)
    lease.session.close()
    fresh = await kept.take("one", HOST)
    assert fresh is not lease
    assert mta.connections == 2


async def test_a_host_that_fails_comes_last_for_a_while() -> None:
    clock = ManualClock()
    kept = pool(MemoryMta(Manners(up=False)), clock)
    best, other = Host(host="best", preference=1), Host(host="other", preference=2)
    assert kept.order("one", [other, best]) == [best, other]
    with pytest.raises(Unreachable):
        await kept.take("one", best)
    assert kept.order("one", [other, best]) == [other, best]
    assert kept.order("two", [other, best]) == [best, other]
    clock.advance(2)
    assert kept.order("one", [other, best]) == [best, other]
