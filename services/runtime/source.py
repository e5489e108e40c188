"""What the consume loop reads from: a member of a consumer group.

Implementations: `kafka.GroupSource` and `fakes.MemorySource`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Protocol

Slot = tuple[str, int]  # topic name and partition


@dataclasses.dataclass(frozen=True, slots=True)
class Raw:
    """A record as the broker has it."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    timestamp: float  # seconds since the epoch
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Left:
    """What the partition's last owner left behind."""

    position: int  # the next offset to read; 0 where nothing was ever committed
    note: str  # committed with it; empty where there was none
    end: int  # the partition's end now


class Listener(Protocol):
    """Who is told of a rebalance. Both calls are awaited before the group goes on."""

    async def revoked(self) -> None:
        """Finish and commit what is under way: after this the partitions may be somebody else's."""
        ...

    async def assigned(self, slots: frozenset[Slot]) -> None:
        """Begin to load what belongs to the partitions that are ours now; no heartbeat goes out before this returns."""
        ...


class Source(Protocol):
    """One member of a group."""

    async def start(self, listener: Listener) -> None:
        """Join the group; raise BusUnavailable when the broker can't be reached."""
        ...

    async def poll(self, within: float, limit: int) -> list[Raw]:
        """Return up to `limit` records in offset order per partition; empty after `within` seconds without any.

        Raises BusUnavailable for what passes by itself; the caller waits a little and polls again.
        """
        ...

    async def commit(self, positions: Mapping[Slot, int], notes: Mapping[Slot, str] | None = None) -> bool:
        """Commit the next offsets to read, each with a note for whoever owns the partition next.

        False when the partitions are no longer ours, or the broker is away.
        """
        ...

    async def left(self, slots: Iterable[Slot]) -> dict[Slot, Left]:
        """Return what the last owners of partitions that are ours now left behind. Raises BusUnavailable."""
        ...

    def lag(self) -> Mapping[str, int]:
        """Return how many records of each topic are there and not yet polled, as far as is known without asking."""
        ...

    def pause(self) -> None:
        """Let `poll` return nothing until `resume`, without leaving the group."""
        ...

    def resume(self) -> None:
        """Take `pause` back."""
        ...

    async def stop(self) -> None:
        """Leave the group at once, so that its partitions move without waiting for a time-out."""
        ...
