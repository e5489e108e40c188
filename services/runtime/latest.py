"""What a compacted topic says now."""

from __future__ import annotations

from typing import TypeVar

from schemas.catalog import Topic
from schemas.events import Event
from services.runtime.bus import Bus

E = TypeVar("E", bound=Event)


async def latest(bus: Bus, topic: Topic, struct: type[E]) -> dict[str, E]:
    """Return what a compacted topic holds, by key; what is no `struct` counts as taken out."""
    there: dict[str, E] = {}
    async for record in bus.read(topic):
        if isinstance(record.event, struct):
            there[record.key] = record.event
        else:
            there.pop(record.key, None)
    return there
