"""The object store as the services see it. Implementations: `folder_store`, `s3_store`, and `fakes_store`."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Protocol


@dataclasses.dataclass(frozen=True, slots=True)
class Stat:
    """What a listing says of an object."""

    key: str
    size: int  # octets
    modified: float  # seconds since the epoch


class Upload(Protocol):
    """An object that is stored while it comes in, its length and its head not known yet. One call at a time.

    Its octets are on a disk and not in memory; under a key they are only once `commit` has returned.
    """

    async def write(self, parts: Sequence[bytes | memoryview]) -> None:
        """Take more octets; they are the store's when this returns. Raises StoreUnavailable, StoreFull."""
        ...

    async def commit(self, objects: Sequence[tuple[str, bytes]]) -> None:
        """Store an object under each key: its head, then what was written. All survive a power loss on return.

        The keys are new ones: a store need not notice that one is taken. When this raises, any of the objects may be
        there. May be called once.
        """
        ...

    def discard(self) -> None:
        """Let go of what has no key. Never waits; to be called at the end in any case, and again does nothing."""
        ...


class Store(Protocol):
    """Objects under keys of [A-Za-z0-9._-] segments, none beginning with a dot, joined by '/'; BadKey for any other.

    Every method raises StoreUnavailable (StoreFull where that is the reason) within its deadline when the store can't
    answer.
    """

    async def put(self, key: str, parts: Sequence[bytes | memoryview]) -> None:
        """Store the parts, joined, under the key. When this returns, the object survives a power loss.

        The same bytes under the same key again succeed; other bytes raise ObjectConflict and change nothing.
        """
        ...

    def begin(self, room: int) -> Upload:
        """Return an upload, which takes nothing yet. Where a head has exactly `room` octets, commit is cheapest."""
        ...

    async def get(self, key: str) -> bytes:
        """Return the object's octets; raise ObjectNotFound when there is none."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the object; one that isn't there is fine."""
        ...

    def list(self, prefix: str) -> AsyncIterator[Stat]:
        """Yield what lies under the prefix (whole segments), in no order. Half-written objects never show."""
        ...

    async def check(self) -> None:
        """Return when the store takes writes; raise StoreUnavailable otherwise, with a reason for the operator."""
        ...

    async def close(self) -> None:
        """Release connections and threads."""
        ...
