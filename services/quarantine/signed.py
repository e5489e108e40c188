"""Texts that we sign for ourselves: letters, digits, - and _, and one dot. Each key and purpose opens its own alone."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

TEXT_MOST: Final = 8_000  # characters


def signed(key: bytes, purpose: str, payload: bytes) -> str:
    """Return the text that carries the payload."""
    return f"{_text(payload)}.{_text(_mac(key, purpose, payload))}"


def payload_of(key: bytes, purpose: str, text: str, most: int = TEXT_MOST) -> bytes | None:
    """Return the payload, None when we did not sign this text for this purpose."""
    if len(text) > most or not text.isascii():
        return None
    payload_text, _, mac_text = text.partition(".")
    try:
        payload, mac = _octets(payload_text), _octets(mac_text)
    except (binascii.Error, ValueError):
        return None
    return payload if hmac.compare_digest(_mac(key, purpose, payload), mac) else None


def _mac(key: bytes, purpose: str, payload: bytes) -> bytes:
    return hmac.digest(key, f"{purpose}\n".encode() + payload, hashlib.sha256)


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _octets(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
