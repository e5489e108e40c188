"""Events as tests need them: complete, and different only where the test says so."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from schemas.events import Envelope, Evidence, Received, Status, Verdict
from services.core.ids import message_id

NOW = 1_700_000_000.0


def received(**changes: Any) -> Received:
    """Return a Received event with an id of its own."""
    message = changes.pop("id", None) or message_id(NOW, os.urandom)
    envelope = changes.pop("envelope", None) or Envelope(
        reverse_path="alice@sender.test", recipients=("bob@example.test",), client_ip="192.0.2.7", helo="mx.sender.test"
    )
    event = Received(
        id=message,
        customer="example",
        domain="example.test",
        key=f"mail/example/{message[-2:]}/{message}",
        envelope=envelope,
        size=100,
        received_at=NOW,
        server="mx.gatepost.test",
        plan=("auth", "virus"),
    )
    return msgspec.structs.replace(event, **changes)


def verdict(of: Received, scanner: str, status: Status = Status.CLEAN, **changes: Any) -> Verdict:
    """Return the scanner's verdict on the message."""
    event = Verdict(
        id=of.id,
        customer=of.customer,
        scanner=scanner,
        version="1",
        status=status,
        scanned_at=NOW,
        origin=0,
        evidence=() if status is Status.CLEAN else (Evidence(code=status.value.upper(), text=f"{scanner} found it"),),
    )
    return msgspec.structs.replace(event, **changes)
