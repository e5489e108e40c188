"""Links of digests: who holds one may see and act on one message of one recipient, until it is too old.

A link carries no session and sets no cookie, so no other page can use it for its reader; and opening it changes
nothing, since programs that check links open all of them.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import msgspec

from services.quarantine.signed import payload_of, signed

PURPOSE: Final = "link 1"
TOKEN_MOST: Final = 2_000  # characters: three addresses fit


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """What a link is for."""

    customer: str
    message: str
    recipient: str
    until: float


def sign(key: bytes, link: Link) -> str:
    """Return the token."""
    return signed(key, PURPOSE, msgspec.json.encode([link.customer, link.message, link.recipient, link.until]))


def read(key: bytes, token: str, now: float) -> Link | None:
    """Return what the token is for, None when we did not sign it or its time is over."""
    payload = payload_of(key, PURPOSE, token, TOKEN_MOST)
    if payload is None:
        return None
    customer, message, recipient, until = msgspec.json.decode(payload, type=tuple[str, str, str, float])
    return Link(customer, message, recipient, until) if now < until else None
