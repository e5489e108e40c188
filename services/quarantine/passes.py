"""Passes: what the two consoles show the API. The users' shows one for a recipient who has signed in there, the
administrators' one for a single look into a single message.

The API never sees his password or his session, and the users' console none of the quarantine's keys or tables. A pass
is good for a minute, so there is nothing to revoke: a session that ends there gets no new one.
"""

from __future__ import annotations

from typing import Final

import msgspec

from services.core.wrapping import derived
from services.quarantine.signed import payload_of, signed
from services.quarantine.tokens import Caller, Role

KIND: Final = "gpu."  # how it begins: an API token begins otherwise
PURPOSE: Final = "pass 1"
SECONDS: Final = 60.0
_READERS: Final = frozenset({Role.ADMINISTRATOR.value, Role.HELPDESK.value})
MOST: Final = 24_000  # characters of a pass, which goes in a header: some hundred addresses fit


class Pass(msgspec.Struct, frozen=True, array_like=True):
    """Who somebody is."""

    customer: str
    addresses: tuple[str, ...]  # in lower case
    name: str  # his address, as events name him
    until: float
    role: str = Role.USER.value
    message: str = ""  # of an administrator's: the one that it is for


def pass_key(master: bytes) -> bytes:
    """Return the key that passes are signed with."""
    return derived(master, "passes")


def issue(key: bytes, who: Pass) -> str:
    """Return the text of the pass."""
    return KIND + signed(key, PURPOSE, msgspec.json.encode(who))


def shown(key: bytes, text: str, now: float) -> Caller | None:
    """Return who holds the pass, None when we did not sign it, its time is over, or it is for nothing."""
    payload = payload_of(key, PURPOSE, text.removeprefix(KIND), MOST) if text.startswith(KIND) else None
    if payload is None:
        return None
    who = msgspec.json.decode(payload, type=Pass)
    if now >= who.until or not who.customer:
        return None
    if who.role in _READERS and who.message:
        return Caller("", who.customer, Role(who.role), (), who.name, message=who.message)
    if who.role != Role.USER.value or not who.addresses:
        return None
    return Caller("", who.customer, Role.USER, who.addresses, who.name)
