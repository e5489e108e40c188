"""Waiting with a limit, without losing a cancellation.

`asyncio.wait_for` of Python 3.11 swallows a cancellation that comes in the moment in which the wait ends: a task that
was told to stop then goes on for ever. `asyncio.timeout` does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def happens(event: asyncio.Event, within: float) -> bool:
    """Return whether the event is set, as soon as it is or after `within` seconds."""
    try:
        async with asyncio.timeout(within):
            return await event.wait()
    except TimeoutError:
        return False


async def before(stop: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Return whether the work came to its end; it is cut off as soon as `stop` is set. Raises what the work raised."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait((working,))
    if working.cancelled():
        return False
    working.result()
    return True


def asked_to_end() -> bool:
    """Return whether somebody has cancelled the task at hand.

    A library may let out a CancelledError of a task of its own, which is nobody's order to us: taken for one, it ends
    whatever it passes through without a word, since nobody asks a cancelled task how it went.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
