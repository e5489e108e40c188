"""How destinations stand, over all delivery processes. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

from schemas.events import QueueCommand, QueueState

FRESH: Final = 60.0  # seconds after which a report was left by a process that is gone
_WORST: Final = ("open", "slow", "down")


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """A destination over all delivery processes."""

    customer: str
    destination: str
    state: str
    depth: int
    oldest: float
    reply: str
    held: str  # by whom and why; empty while it is not


def merged(states: Iterable[QueueState], holds: Iterable[QueueCommand], now: float) -> list[Standing]:
    """Return the destinations, the deepest first: depths add up, and the worst that a process sees counts."""
    by_name: dict[tuple[str, str], list[QueueState]] = {}
    for one in states:
        if one.at >= now - FRESH:
            by_name.setdefault((one.customer, one.destination), []).append(one)
    held = {(one.customer, one.destination): f"{one.by}: {one.why}" for one in holds if not one.message}
    rows = []
    for name in {*by_name, *held}:
        seen = by_name.get(name, [])
        last = max(seen, key=lambda one: one.replied_at, default=None)
        rows.append(
            Standing(
                *name,
                state=max((one.state for one in seen), key=_WORST.index, default="open"),
                depth=sum(one.depth for one in seen),
                oldest=min((one.oldest for one in seen if one.oldest), default=0.0),
                reply=last.reply if last else "",
                held=held.get(name, ""),
            )
        )
    return sorted(rows, key=lambda row: (-row.depth, row.customer, row.destination))
