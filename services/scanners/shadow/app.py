"""A scanner's service with its answers kept aside: a received message in, a Shadow out, and never anything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from schemas.events import Event, Received, Shadow, Verdict
from services.core.clock import Clock
from services.core.errors import ObjectNotFound, UnreadableEvent
from services.core.stored import kept_key
from services.runtime.bus import Record, Stateless, Tombstone
from services.scanners.app import ScannerService, Scans
from services.scanners.contract import Finding

STALE: Final = 3_600.0  # seconds after receipt; what a shadow that was away finds older than this is live mail no more


class KeptToo:
    """Scans of what is done already are made on the copy that a customer lets us keep, where there is one."""

    def __init__(self, scans: Scans) -> None:
        self._scans = scans

    async def scan(self, scanner: str, received: Received, briefing: bytes) -> Finding:
        """As `pool.Pool.scan`."""
        try:
            return await self._scans.scan(scanner, received, briefing)
        except ObjectNotFound:
            kept = msgspec.structs.replace(received, key=kept_key(received.key))
            return await self._scans.scan(scanner, kept, briefing)


class ShadowService(Stateless):
    """Wraps a ScannerService: no verdict, recheck, contact or dead letter of it comes through."""

    def __init__(
        self, name: str, inner: ScannerService, clock: Clock, settings: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.name = name
        self._inner = inner
        self._clock = clock
        self._settings = settings

    @property
    def group(self) -> str:
        """Return the consumer group: shadow-<name>."""
        return f"shadow-{self.name}"

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """Return what the scanner says, as a Shadow; raise what is temporary, as the scanner does."""
        received = record.event
        if not isinstance(received, Received):
            raise UnreadableEvent(f"not a received message: {type(received).__name__}")
        if self._clock.now() - received.received_at > STALE:
            return ()
        return [
            Shadow(
                name=self.name,
                customer=event.customer,
                verdict=msgspec.structs.replace(event, contact=""),
                settings=self._settings,
            )
            for event in await self._inner.handle(record)
            if isinstance(event, Verdict)
        ]
