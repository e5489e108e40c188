"""A window on the broker in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from services.core.errors import BusUnavailable
from services.runtime.fakes import MemoryBus
from services.runtime.source import Left, Listener, Raw, Slot
from services.runtime.window import Merge, Span


class MemoryWindow:
    """See `window.Window`. A bus that is `down` can't be read."""

    def __init__(self, bus: MemoryBus, spans: Sequence[Span]) -> None:
        self.exhausted = asyncio.Event()
        self._bus = bus
        self._spans = spans
        self._merge = Merge(())
        self._paused = False

    async def start(self, listener: Listener) -> None:
        """See `source.Source.start`."""
        if self._bus.down:
            raise BusUnavailable("down, by order of the test")
        slots = [(span.topic.name, p) for span in self._spans for p in range(span.topic.partitions)]
        self._merge = Merge(slots)
        for span in self._spans:
            for partition in range(span.topic.partitions):
                slot = (span.topic.name, partition)
                records = [raw for raw in self._bus.logs.get(slot, ()) if _within(raw, span)]
                self._merge.add(slot, records if span.tail is None else records[-span.tail :])
                self._merge.close(slot)
        await listener.assigned(frozenset(slots))

    async def poll(self, within: float, limit: int) -> list[Raw]:  # noqa: ARG002 - all is there at once
        """See `window.Window.poll`."""
        await asyncio.sleep(0)
        if self._bus.down:
            raise BusUnavailable("down, by order of the test")
        taken = [] if self._paused else self._merge.take(limit)
        if self._merge.done:
            self.exhausted.set()
        return taken

    async def commit(self, positions: Mapping[Slot, int], notes: Mapping[Slot, str] | None = None) -> bool:  # noqa: ARG002 - as in window
        """See `window.Window.commit`."""
        return True

    async def left(self, slots: Iterable[Slot]) -> dict[Slot, Left]:  # noqa: ARG002 - as in window
        """See `window.Window.left`."""
        return {}

    def lag(self) -> Mapping[str, int]:
        """Return nothing: it belongs to no group that could be behind."""
        return {}

    def pause(self) -> None:
        """See `source.Source.pause`."""
        self._paused = True

    def resume(self) -> None:
        """See `source.Source.resume`."""
        self._paused = False

    async def stop(self) -> None:
        """See `window.Window.stop`."""


def _within(raw: Raw, span: Span) -> bool:
    return (span.since is None or raw.timestamp >= span.since) and (span.until is None or raw.timestamp < span.until)
