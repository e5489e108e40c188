"""An object goes with its last outcome, and comes back on its way when nothing else covers it."""

from __future__ import annotations

import asyncio

from schemas.catalog import OUTCOMES, RECEIVED
from schemas.events import Action, Branch, Customer, Deferred, Disposition, Envelope, Outcome, Received, State, Status
from services.core.clock import ManualClock, SystemClock
from services.core.errors import StoreUnavailable
from services.core.stored import kept_key, pack
from services.reaper.app import Reaper
from services.reaper.recover import recover
from services.runtime.consume import Consumer
from services.runtime.fakes import MemoryBus
from services.runtime.fakes_store import MemoryStore
from tests.eventually import eventually
from tests.samples import NOW, received

BODY = b"Subject: x\r\n\r\nbody\r\n"
TWO = Envelope(reverse_path="a@sender.test", recipients=("b@example.test", "c@example.test"), client_ip="192.0.2.1")


def ended(of: Received, *recipients: str, state: State = State.DELIVERED) -> Outcome:
    return Outcome(
        id=of.id,
        customer=of.customer,
        key=of.key,
        recipients=recipients or of.envelope.recipients,
        total=len(of.envelope.recipients),
        state=state,
        at=NOW,
        received_at=NOW,
    )


async def stored(store: MemoryStore, **changes: object) -> Received:
    message = received(size=len(BODY), **changes)
    await store.put(message.key, [pack(message), BODY])
    return message


async def keys(store: MemoryStore) -> set[str]:
    return {stat.key async for stat in store.list("mail")}


async def test_an_object_goes_with_its_last_recipient_and_not_before() -> None:
    bus, store, stop = MemoryBus(), MemoryStore(), asyncio.Event()
    one, two = await stored(store), await stored(store, envelope=TWO)
    consumer = Consumer("reaper", bus.source("reaper", (OUTCOMES,)), Reaper(bus, store), bus, ManualClock(NOW))
    task = asyncio.create_task(consumer.run(stop))
    await bus.publish([ended(one), ended(two, "b@example.test"), ended(two, "b@example.test")])

    async def left() -> bool:
        return await keys(store) == {two.key}

    await eventually(left)
    stop.set()
    await task
    # The half that is done survives a restart.
    stop = asyncio.Event()
    consumer = Consumer("reaper", bus.source("reaper", (OUTCOMES,)), Reaper(bus, store), bus, ManualClock(NOW))
    task = asyncio.create_task(consumer.run(stop))
    await bus.publish([ended(two, "c@example.test", state=State.QUARANTINE_DELETED)])

    async def empty() -> bool:
        return not await keys(store)

    await eventually(empty)
    stop.set()
    await task


async def test_recovery_publishes_what_nothing_covers_and_sweeps_what_ended() -> None:
    bus, store = MemoryBus(), MemoryStore()
    lost = await stored(store)
    done = await stored(store)
    half = await stored(store, envelope=TWO)
    waiting = await stored(store)
    held = await stored(store)
    branch = Branch(recipients=waiting.envelope.recipients, action=Action.DELIVER, rule="default", reason="")
    disposition = Disposition(received=waiting, branches=(branch,), status=Status.CLEAN, score=0.0, decided_at=NOW)
    deferred = Deferred(
        disposition=disposition,
        branch=0,
        recipients=waiting.envelope.recipients,
        attempts=1,
        since=NOW,
        next_at=NOW,
        reply="",
    )
    await bus.publish([ended(done), ended(half, "b@example.test"), deferred])
    report = await recover(store, bus, before=NOW + 1, held={held.id: frozenset(held.envelope.recipients)})
    assert (report.published, report.covered, report.removed, report.unreadable) == (2, 2, 1, 0)
    back = [event for event in bus.events(RECEIVED) if isinstance(event, Received)]
    assert {event.id for event in back} == {lost.id, half.id}
    assert all(event.recovered for event in back)
    assert done.key not in await keys(store)


async def test_recovery_leaves_what_is_being_accepted_and_what_is_not_ours() -> None:
    bus, store = MemoryBus(), MemoryStore()
    await stored(store)  # its id was made at NOW
    await store.put("mail/example/zz/notes.txt", [b"not ours"])
    await store.put("mail/example/ZZ/01HF7YAT00000000000000000Z", [b"GATEPOST/1 broken"])
    report = await recover(store, bus, before=NOW, held={})
    assert report.published == 0
    report = await recover(store, bus, before=NOW + 1, held={})
    assert (report.published, report.unreadable) == (1, 1)
    assert len(await keys(store)) == 3


async def test_a_store_that_is_away_only_delays_the_reaper() -> None:
    bus, store, stop = MemoryBus(), MemoryStore(), asyncio.Event()
    message = await stored(store)
    store.fail("delete", StoreUnavailable("by order of the test"), times=2)
    consumer = Consumer("reaper", bus.source("reaper", (OUTCOMES,)), Reaper(bus, store), bus, ManualClock(NOW))
    task = asyncio.create_task(consumer.run(stop))
    await bus.publish([ended(message)])

    async def empty() -> bool:
        return not await keys(store)

    await eventually(empty)
    stop.set()
    await task


async def test_a_copy_is_kept_for_as_long_as_its_customer_wants_and_apart_from_mail() -> None:
    clock = ManualClock(NOW)
    bus, store, stop = MemoryBus(), MemoryStore(clock), asyncio.Event()
    customers = {"example": Customer(id="example", retention_hours=100.0)}  # more than anybody may: 72 count
    reaper = Reaper(bus, store, customers.get, clock)
    kept, other = await stored(store), await stored(store, customer="other")
    withdrawn = await stored(store)
    task = asyncio.create_task(
        Consumer("reaper", bus.source("reaper", (OUTCOMES,)), reaper, bus, ManualClock(NOW)).run(stop)
    )
    await bus.publish([ended(kept), ended(other), ended(withdrawn, state=State.WITHDRAWN)])

    async def gone() -> bool:
        return await keys(store) == set()

    await eventually(gone)
    stop.set()
    await task
    assert set(store.objects) == {kept_key(kept.key)}
    assert await reaper.sweep() == 0
    clock.advance(72 * 3_600 + 1)
    assert await reaper.sweep() == 1
    assert store.objects == {}


async def test_a_customer_who_wants_no_copies_any_more_has_them_deleted_at_the_next_look() -> None:
    clock, store = ManualClock(NOW), MemoryStore()
    await store.put("kept/example/aa/a", [BODY])
    assert await Reaper(MemoryBus(), store, lambda name: Customer(id=name, retention_hours=1.0), clock).sweep() == 0
    assert await Reaper(MemoryBus(), store, lambda name: Customer(id=name), SystemClock()).sweep() == 1
