"""What differs by the way that a message goes. Pure."""

from __future__ import annotations

from typing import Final

from schemas.events import Direction, Received

# They ask who a stranger is. Who hands mail in for a customer has shown that before.
INBOUND_ONLY: Final = frozenset({"auth", "impersonation"})
# It looks for what a customer does not let out.
OUTBOUND_ONLY: Final = frozenset({"dlp"})


def outbound(received: Received) -> bool:
    """Return whether the message is a customer's own, on its way out."""
    return received.direction is Direction.OUTBOUND


def signed_in(received: Received) -> bool:
    """Return whether a password showed who handed it in (RFC 3848: ESMTPA), and not the address alone."""
    return "@" in received.submitter


def plan_of(direction: Direction, plan: tuple[str, ...]) -> tuple[str, ...]:
    """Return which scanners of the plan have something to say about a message that goes this way."""
    others = OUTBOUND_ONLY if direction is Direction.INBOUND else INBOUND_ONLY
    return tuple(name for name in plan if name not in others)
