"""Links of digests: who holds one may see and act on one message of one recipient, until it is too old.

A link carries no session and sets no cookie, so no other page can use it for its reader; and opening it changes
nothing, since programs that check links open all of them.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import hmac

import msgspec


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """What a link is for."""

    customer: str
    message: str
    recipient: str
    until: float


def sign(key: bytes, link: Link) -> str:
    """Return the token: letters, digits, - and _, and one dot."""
    payload = msgspec.json.encode([link.customer, link.message, link.recipient, link.until])
    return f"{_text(payload)}.{_text(_mac(key, payload))}"


def read(key: bytes, token: str, now: float) -> Link | None:
    """Return what the token is for, None when we did not sign it or its time is over."""
    if len(token) > 2_000 or not token.isascii():  # noqa: PLR2004 - three addresses fit
        return None
    payload_text, _, mac_text = token.partition(".")
    try:
        payload, mac = _octets(payload_text), _octets(mac_text)
    except (binascii.Error, ValueError):
        return None
    if not hmac.compare_digest(_mac(key, payload), mac):
        return None
    customer, message, recipient, until = msgspec.json.decode(payload, type=tuple[str, str, str, float])
    return Link(customer, message, recipient, until) if now < until else None


def _mac(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, b"link 1\n" + payload, hashlib.sha256)


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _octets(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
