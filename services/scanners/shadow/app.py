"""A scanner's service with its answers kept aside: a received message in, a Shadow out, and never anything else."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.events import Event, Received, Shadow, Verdict
from services.core.errors import UnreadableEvent
from services.runtime.bus import Record, Stateless, Tombstone
from services.scanners.app import ScannerService


class ShadowService(Stateless):
    """Wraps a ScannerService: no verdict, recheck, contact or dead letter of it comes through."""

    def __init__(self, name: str, inner: ScannerService) -> None:
        self.name = name
        self._inner = inner

    @property
    def group(self) -> str:
        """Return the consumer group: shadow-<name>."""
        return f"shadow-{self.name}"

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """Return what the scanner says, as a Shadow; raise what is temporary, as the scanner does."""
        if not isinstance(record.event, Received):
            raise UnreadableEvent(f"not a received message: {type(record.event).__name__}")
        return [
            Shadow(name=self.name, customer=event.customer, verdict=msgspec.structs.replace(event, contact=""))
            for event in await self._inner.handle(record)
            if isinstance(event, Verdict)
        ]
