"""What can't be taken back is begun only by a member that the broker has confirmed."""

from __future__ import annotations

import asyncio

import pytest

from schemas.catalog import DEFERRED
from schemas.events import Deferred
from services.core.errors import BusUnavailable
from services.runtime.membership import Membership
from tests.eventually import eventually
from tests.unit.test_delivery import ALL, B, Bench, arrived


def marked(bench: Bench) -> bool:
    """Return whether the topic says of the message that an attempt began."""
    entries = [event for event in bench.bus.events(DEFERRED) if isinstance(event, Deferred)]
    return bool(entries) and entries[-1].under_way


class Seconds:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_confirmation_is_good_from_when_the_heartbeat_was_sent() -> None:
    seconds = Seconds()
    membership = Membership(seconds)
    membership.confirm(asked_at=97.0, lasts=5.0)
    await membership.sure(within=0.0)
    seconds.now = 102.0
    with pytest.raises(BusUnavailable):
        await membership.sure(within=0.0)


async def test_an_older_answer_takes_nothing_back() -> None:
    membership = Membership(Seconds())
    membership.confirm(asked_at=99.0, lasts=5.0)
    membership.confirm(asked_at=90.0, lasts=5.0)
    await membership.sure(within=0.0)


async def test_whoever_asks_waits_for_the_next_heartbeat() -> None:
    membership = Membership()
    asking = asyncio.create_task(membership.sure(within=30.0))
    await asyncio.sleep(0)
    assert not asking.done()
    membership.confirm(asyncio.get_running_loop().time(), lasts=60.0)
    async with asyncio.timeout(5):
        await asking


async def test_what_came_while_a_member_was_away_is_not_sent_by_it() -> None:
    """The trap: who took over has announced nothing of what came later, so neither would know of the other's copy."""
    bench, confirmed = Bench(), asyncio.Event()

    async def ours() -> None:
        await confirmed.wait()

    bench.delivery = bench.another(ours=ours)
    await bench.delivery.assigned(ALL)
    delivering = asyncio.create_task(bench.deliver(B))
    await eventually(lambda: len(bench.delivery.queue._jobs) == 1)
    for _ in range(100):
        await asyncio.sleep(0)
    assert arrived(bench) == []
    confirmed.set()
    await delivering
    assert len(arrived(bench)) == 1
    await bench.delivery.close()


async def test_what_waited_is_not_sent_by_a_member_that_was_away_and_its_mark_is_written_first() -> None:
    bench, confirmed = Bench(), asyncio.Event()
    confirmed.set()

    async def ours() -> None:
        await confirmed.wait()

    bench.delivery = bench.another(ours=ours)
    await bench.delivery.assigned(ALL)
    bench.mta.manners.recipients = {B: (450, "4.2.1 busy")}
    await bench.deliver(B)
    await bench.delivery.before_commit()
    confirmed.clear()
    bench.mta.manners.recipients = {}
    bench.clock.advance(7_200)
    bench.delivery.queue.tick()
    await eventually(lambda: marked(bench))
    assert arrived(bench) == []
    confirmed.set()
    await eventually(lambda: len(arrived(bench)) == 1)
    await bench.delivery.close()
