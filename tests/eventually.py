"""Wait for what must become true, with a deadline: the test fails as soon as the time is up and never earlier."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def eventually(true: Callable[[], bool | Awaitable[bool]], within: float = 10.0, *, every: float = 0.005) -> None:
    """Return as soon as the condition holds, asked `every` so many seconds; fail after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = true()
        if answer if isinstance(answer, bool) else await answer:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"still not true after {within:g} s: {true.__qualname__}")
        await asyncio.sleep(every)
