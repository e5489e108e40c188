"""The faults of the store in memory do what their names say."""

from __future__ import annotations

import asyncio

import pytest

from services.core.clock import ManualClock
from services.core.errors import ObjectNotFound, StoreFull, StoreUnavailable
from services.runtime.fakes_store import MemoryStore


async def test_down_and_up_again() -> None:
    store = MemoryStore()
    await store.put("a", [b"x"])
    store.down = True
    for call in (store.put("b", [b"x"]), store.get("a"), store.delete("a"), store.check()):
        with pytest.raises(StoreUnavailable):
            await call
    with pytest.raises(StoreUnavailable):
        _ = [stat async for stat in store.list("")]
    store.down = False
    assert await store.get("a") == b"x"
    assert set(store.objects) == {"a"}
    assert store.calls[:3] == [("put", "a"), ("put", "b"), ("get", "a")]


async def test_full_it_still_reads_and_deletes() -> None:
    store = MemoryStore()
    await store.put("a", [b"x"])
    store.full = True
    with pytest.raises(StoreFull):
        await store.put("b", [b"x"])
    with pytest.raises(StoreFull):
        await store.check()
    assert await store.get("a") == b"x"
    await store.delete("a")
    assert store.objects == {}


async def test_a_failure_comes_as_often_as_asked_for() -> None:
    store = MemoryStore()
    store.fail("put", StoreUnavailable("told to"), times=2)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="told to"):
            await store.put("a", [b"x"])
    assert store.objects == {}
    await store.put("a", [b"x"])
    store.fail("get", ObjectNotFound("told to"))
    with pytest.raises(ObjectNotFound):
        await store.get("a")
    assert await store.get("a") == b"x"


async def test_an_answer_can_be_lost_after_the_effect() -> None:
    store = MemoryStore()
    store.fail("put", StoreUnavailable("lost"), landed=True)
    with pytest.raises(StoreUnavailable, match="lost"):
        await store.put("a", [b"x"])
    assert await store.get("a") == b"x"
    store.fail("delete", StoreUnavailable("lost"), landed=True)
    with pytest.raises(StoreUnavailable, match="lost"):
        await store.delete("a")
    assert store.objects == {}


async def test_held_it_has_no_effect_until_let_go() -> None:
    store = MemoryStore()
    gate = store.hold("put")
    put = asyncio.create_task(store.put("a", [b"x"]))
    done, _ = await asyncio.wait([put], timeout=0.01)
    assert not done
    assert store.calls == [("put", "a")]
    assert store.objects == {}
    gate.set()
    await put
    assert store.objects == {"a": b"x"}


async def test_slower_than_its_deadline_it_is_unavailable() -> None:
    store = MemoryStore(within=0.01)
    store.delay("get", 5)
    with pytest.raises(StoreUnavailable):
        await store.get("a")
    store.delay("get", 0)
    with pytest.raises(ObjectNotFound):
        await store.get("a")


async def test_modified_is_the_clock_s() -> None:
    store = MemoryStore(ManualClock(5.0))
    await store.put("a", [b"x"])
    assert [stat.modified async for stat in store.list("")] == [5.0]
