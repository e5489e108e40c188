"""Only what the quarantine has signed is released: a disposition that says so without a signature is a dead letter."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from schemas.events import Disposition, Event
from services.core.errors import ConfigError, UnreadableEvent
from services.core.exemption import is_exempt
from services.runtime.bus import Record, Service, Tombstone


class Exempt:
    """The delivery service, behind the check. Without a public key it lets everything through."""

    def __init__(self, service: Service, public: str) -> None:
        """`public` is base64 as `gatepost quarantine public-key` prints it; raise ConfigError for anything else."""
        self._key: Ed25519PublicKey | None = None
        if public:
            try:
                self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
            except (binascii.Error, ValueError) as error:
                raise ConfigError("GATEPOST_RELEASE_PUBLIC_KEY: not the base64 of a public key") from error
        self._service = service
        self.handle_allowed = service.handle
        self.finished = service.finished
        self.assigned = service.assigned
        self.revoked = service.revoked
        self.before_commit = service.before_commit

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """As delivery's own; raises UnreadableEvent for a release that nobody signed."""
        event = record.event
        if (
            self._key is not None
            and isinstance(event, Disposition)
            and event.release
            and not is_exempt(self._key, event)
        ):
            raise UnreadableEvent("a release without a valid exemption for each of its recipients")
        return await self.handle_allowed(record)
