"""Mail that we write ourselves: a held message as an attachment for somebody who is to look at it.

It is a message like any other, with an id, an object and an outcome of its own: the account of accepted mail counts it,
and recovery finds it. The held message stays held.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from schemas.events import Event, QuarantineRequest
from services.core.address import parse
from services.core.clock import Clock
from services.core.errors import BadAddress, KeyDestroyed, ObjectCorrupt, ObjectNotFound
from services.core.headers import field
from services.core.ids import message_id
from services.quarantine.config import QuarantineConfig
from services.quarantine.decide import Held
from services.quarantine.vault import Vault
from services.runtime.own_mail import own_mail, put_own
from services.runtime.store import Store

log = logging.getLogger("gatepost.quarantine")

COPY: Final = "copy"


class Copies:
    """Sends held messages to others."""

    def __init__(self, config: QuarantineConfig, store: Store, vault: Vault, clock: Clock) -> None:
        self._config = config
        self._store = store
        self._vault = vault
        self._clock = clock

    async def send(self, request: QuarantineRequest, rows: Sequence[Held]) -> Sequence[Event]:
        """Return the event of the copy; none when there is nothing to copy. The same request makes one copy."""
        try:
            domain = parse(request.to).domain
        except BadAddress:
            log.error("id=%s event=copy-refused reason=bad-address", request.id)
            return ()
        if not rows or not rows[0].key.startswith("quarantine/"):
            return ()
        try:
            message = await self._vault.open(request.customer, request.id)
        except (ObjectNotFound, ObjectCorrupt, KeyDestroyed) as error:
            log.error("id=%s event=copy-refused reason=%s", request.id, error)
            return ()
        entropy = hashlib.sha256(f"{COPY} {request.request_id}".encode()).digest()
        identity = message_id(request.at, lambda octets: entropy[:octets])
        text = attached(rows[0], message, request.to, request.by, self._config.hostname, request.at, identity)
        received = own_mail(
            identity=identity,
            customer=request.customer,
            recipient=request.to,
            message=text,
            own=COPY,
            now=self._clock.now(),
            hostname=self._config.hostname,
        )
        log.info("id=%s customer=%s event=copied as=%s domain=%s", request.id, request.customer, identity, domain)
        return (await put_own(self._store, received, text),)


def attached(row: Held, message: bytes, to: str, by: str, hostname: str, at: float, identity: str) -> bytes:
    """Return a message with the held one attached byte for byte (message/rfc822, RFC 2046 section 5.2.1)."""
    boundary = b"=_" + hashlib.sha256(message + identity.encode()).hexdigest()[:40].encode()
    head = [
        field("From", f"Gatepost <postmaster@{hostname}>"),
        field("To", to),
        field("Subject", f"[Quarantine] {row.subject}"),
        field("Date", format_datetime(datetime.fromtimestamp(at, UTC))),
        field("Message-ID", f"<{identity}@{hostname}>"),
        field("Auto-Submitted", "auto-generated"),
        b"MIME-Version: 1.0\r\n",
        b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n',
    ]
    said = (
        f"Held message {row.id} is attached as it was received.\r\n\r\n"
        f"Reason: {row.reason}\r\nStatus: {row.status}\r\nSent by: {by}\r\n\r\n"
        "It may be dangerous: open it only where it can do no harm.\r\n"
    ).encode()
    attachment = b'Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename="held.eml"\r\n'
    encoding = b"" if message.isascii() else b"Content-Transfer-Encoding: 8bit\r\n"
    return b"".join(
        [
            *head,
            b"\r\n--" + boundary + b"\r\nContent-Type: text/plain; charset=utf-8\r\n",
            b"Content-Transfer-Encoding: 8bit\r\n\r\n" + said,
            b"\r\n--" + boundary + b"\r\n" + attachment + encoding + b"\r\n",
            message,
            b"\r\n--" + boundary + b"--\r\n",
        ]
    )
