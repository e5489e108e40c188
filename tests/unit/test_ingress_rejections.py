"""Rejection events: published when there is time, bounded, never waited for."""

from __future__ import annotations

from schemas import catalog
from schemas.events import Rejection
from services.ingress.rejections import Rejections
from services.runtime.fakes import MemoryBus
from tests.eventually import eventually


def rejection(number: int) -> Rejection:
    return Rejection(client_ip="192.0.2.7", at=float(number), reason="unknown-recipient", reply="550")


async def test_they_are_published_in_their_order() -> None:
    bus = MemoryBus()
    rejections = Rejections(bus)
    rejections.start()
    for number in range(500):
        rejections.note(rejection(number))
    await eventually(lambda: len(bus.events(catalog.REJECTIONS)) == 500)
    assert [e.at for e in bus.events(catalog.REJECTIONS) if isinstance(e, Rejection)] == [float(n) for n in range(500)]
    await rejections.close()
    assert rejections.lost == 0


async def test_more_than_the_queue_holds_are_counted_the_oldest_first() -> None:
    bus = MemoryBus()
    rejections = Rejections(bus)
    for number in range(2_500):
        rejections.note(rejection(number))
    assert rejections.lost == 500
    rejections.start()
    await rejections.close()
    events = bus.events(catalog.REJECTIONS)
    assert len(events) == 2_000
    assert min(e.at for e in events if isinstance(e, Rejection)) == 500.0


async def test_a_broker_that_is_down_costs_events_and_nothing_else() -> None:
    bus = MemoryBus()
    bus.down = True
    rejections = Rejections(bus)
    rejections.start()
    rejections.note(rejection(1))
    await eventually(lambda: rejections.lost == 1)
    bus.down = False
    rejections.note(rejection(2))
    await eventually(lambda: len(bus.events(catalog.REJECTIONS)) == 1)
    await rejections.close()


async def test_closing_ends_also_with_a_broker_that_takes_nothing() -> None:
    bus = MemoryBus()
    bus.down = True
    rejections = Rejections(bus)
    for number in range(1_000):
        rejections.note(rejection(number))
    await rejections.close()
    assert rejections.lost == 1_000
