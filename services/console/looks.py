"""What the console does by itself now and then: reminders, reports, readings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from services.core.errors import DatabaseUnavailable
from services.core.waiting import happens

log = logging.getLogger("gatepost.console")


async def looking(stop: asyncio.Event, every: float, look: Callable[[], Awaitable[object]], put_off: str) -> None:
    """Look every so many seconds until `stop`; what the database can't serve is put off, logged as the event."""
    while not await happens(stop, every):
        try:
            await look()
        except DatabaseUnavailable as error:
            log.warning("event=%s error=%s", put_off, error)
