"""Bounces that answer nothing the customer sent: tags in the reverse-path tell (BATV, draft-levine-smtp-batv). Pure.

The customer's MTA sends as `prvs=KDDDSSSSSS=local@domain`: K the key's number, DDD the last three digits of the day
until which the tag holds, SSSSSS the first three octets of an HMAC-SHA1 over `KDDDlocal@domain`. A true bounce comes to
that address.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

from services.core.address import Address

DAY: Final = 86_400.0
HOLDS: Final = 7  # days after sending in which a bounce may come
_TAG: Final = re.compile(r"prvs=([0-9])([0-9]{3})([0-9a-f]{6})=(.+)", re.IGNORECASE | re.DOTALL)


def untagged(address: Address) -> Address:
    """Return the mailbox that a tagged address stands for; one without a tag stands for itself."""
    match = _TAG.fullmatch(address.local)
    return Address(match[4], address.domain) if match else address


def valid(address: Address, key: str, now: float) -> bool:
    """Return whether the address carries a tag that the key made, for a time that isn't over."""
    match = _TAG.fullmatch(address.local)
    if match is None:
        return False
    number, day, signature, local = match.groups()
    left = (int(day) - int(now // DAY)) % 1000
    expected = _signature(number + day, Address(local, address.domain), key)
    return left <= HOLDS and hmac.compare_digest(signature.lower(), expected)


def tagged(address: Address, key: str, now: float, number: int = 0) -> Address:
    """Return the address as the customer's MTA would write it in a reverse-path."""
    head = f"{number}{(int(now // DAY) + HOLDS) % 1000:03d}"
    return Address(f"prvs={head}{_signature(head, address, key)}={address.local}", address.domain)


def _signature(head: str, address: Address, key: str) -> str:
    text = f"{head}{address.local}@{address.domain}"
    return hmac.new(key.encode(), text.encode(), hashlib.sha1).hexdigest()[:6]
