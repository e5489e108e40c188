"""Waiting with a limit, without losing a cancellation.

`asyncio.wait_for` of Python 3.11 swallows a cancellation that comes in the moment in which the wait ends: a task that
was told to stop then goes on for ever. `asyncio.timeout` does not.
"""

from __future__ import annotations

import asyncio


async def happens(event: asyncio.Event, within: float) -> bool:
    """Return whether the event is set, as soon as it is or after `within` seconds."""
    try:
        async with asyncio.timeout(within):
            return await event.wait()
    except TimeoutError:
        return False
