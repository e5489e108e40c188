"""A consumer that ends though nobody stopped it ends its process; a cancellation that nobody ordered ends nothing."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from schemas.catalog import RECEIVED
from services.core.errors import StartError
from services.core.waiting import asked_to_end
from services.runtime.bus import Stateless
from services.runtime.fakes import MemoryBus, MemorySource
from services.runtime.host import Context
from services.runtime.source import Raw


class Straying(MemorySource):
    """Lets out a cancellation of a task of its own, as a client did under chaos."""

    async def poll(self, within: float, limit: int) -> list[Raw]:  # noqa: ARG002 - the port's
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task
        return []


class Bus(MemoryBus):
    def source(self, group: str, topics: Any, **_: Any) -> MemorySource:
        return Straying(self, group, tuple(topics))


class Silent(Stateless):
    async def handle(self, _: object) -> tuple[()]:
        return ()


async def test_a_consumer_that_was_cancelled_by_nobody_ends_its_process() -> None:
    """It left its group without a word, and its service went on without it: nothing was held or released any more."""
    ctx = Context({}, cast("Any", Bus()), cast("Any", None), lambda _: None)
    async with asyncio.timeout(10):
        with pytest.raises(ExceptionGroup) as raised:
            await ctx.consume("quarantine", "quarantine", [RECEIVED], cast("Any", Silent()))
    (error,) = raised.value.exceptions
    assert isinstance(error, StartError)
    assert "quarantine: its consumer ended" in str(error)


async def test_a_stop_is_no_such_end() -> None:
    ctx = Context({}, cast("Any", MemoryBus()), cast("Any", None), lambda _: None)
    asyncio.get_running_loop().call_later(0.1, ctx.stop.set)
    async with asyncio.timeout(10):
        await ctx.consume("quarantine", "quarantine", [RECEIVED], cast("Any", Silent()))


async def test_a_task_knows_whether_somebody_told_it_to_end() -> None:
    heard: list[bool] = []

    async def work(inner: asyncio.Task[None]) -> None:
        try:
            await inner
        except asyncio.CancelledError:
            heard.append(asked_to_end())

    for tell in (lambda inner, _: inner.cancel(), lambda _, outer: outer.cancel()):
        inner = asyncio.create_task(asyncio.sleep(60))
        outer = asyncio.create_task(work(inner))
        await asyncio.sleep(0)
        tell(inner, outer)
        await asyncio.gather(outer, return_exceptions=True)
    assert heard == [False, True]
