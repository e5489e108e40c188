"""The sealed objects: a message goes in as it was received, and comes out as it went in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from schemas.events import Action, Disposition
from services.core.errors import ObjectConflict, ObjectNotFound, StoreUnavailable
from services.core.sealed import (
    PREFIX,
    Sealed,
    pack_head,
    released_key,
    released_prefix,
    sealed_key,
    unpack_head,
)
from services.core.stored import pack
from services.core.wrapping import KEY, unwrap, wrap
from services.quarantine.keyring import Keyring
from services.quarantine.seal import CHUNK, SHARED, decrypted, encrypted
from services.runtime.store import Store

IN_LOOP: Final = 1_048_576  # octets that are encrypted in the event loop; more of them in a thread
SEALINGS: Final = 4  # tries to seal with a key that nobody destroys meanwhile


class Vault:
    """Every method raises StoreUnavailable and DatabaseUnavailable when store or keys can't be had."""

    def __init__(self, store: Store, keys: Keyring, entropy: Callable[[int], bytes]) -> None:
        self._store = store
        self._keys = keys
        self._entropy = entropy

    async def seal(
        self, disposition: Disposition, message: bytes | memoryview, held_at: float, expires_at: float
    ) -> str:
        """Store the message encrypted, durably, and return its key. One that is sealed for the same recipients stays.

        The header names the recipients that it is held for; the rest of the message's may go another way.
        """
        customer, anew = disposition.received.customer, False
        for _ in range(SEALINGS):
            place, key = await self._seal(disposition, message, held_at, expires_at, anew=anew)
            if await self._keys.lasts(customer, key):
                return place
            anew = True
        raise StoreUnavailable(f"the keys of customer {customer} are destroyed as soon as they are made")

    async def _seal(
        self, disposition: Disposition, message: bytes | memoryview, held_at: float, expires_at: float, *, anew: bool
    ) -> tuple[str, str]:
        """Return the object's key and the id of the customer's key that it needs; `anew`: one that is there goes."""
        received = disposition.received
        place = sealed_key(received.customer, received.id)
        branches = tuple(branch for branch in disposition.branches if branch.action is Action.QUARANTINE)
        before = await self.header(received.customer, received.id)
        if before is not None:
            covered = _recipients(branches) <= _recipients(before.disposition.branches)
            if covered and not anew:
                return place, before.key
            # Decided anew and for more recipients: what was received is still there until this one is.
            branches = before.disposition.branches if covered else (*before.disposition.branches, *branches)
            await self._store.delete(place)
        held = msgspec.structs.replace(disposition, branches=branches)
        key, parts = await self._sealed(held, message, held_at, expires_at)
        try:
            await self._store.put(place, parts)
        except ObjectConflict:
            other = await self.header(received.customer, received.id)
            if other is None:
                raise
            return place, other.key  # another process sealed it meanwhile
        return place, key

    async def discard_keys(self) -> int:
        """Destroy the keys of customers for whom nothing lies sealed any more, and return how many those were."""
        count = 0
        for customer in await self._keys.idle():
            count += await self._keys.discard(customer, lambda: self._holds(customer))  # noqa: B023  # awaited here
        return count

    async def _holds(self, customer: str) -> bool:
        async for _ in self._store.list(f"{PREFIX}/{customer}"):
            return True
        return False

    async def _sealed(
        self, disposition: Disposition, message: bytes | memoryview, held_at: float, expires_at: float
    ) -> tuple[str, list[bytes]]:
        received = disposition.received
        identity, customers = await self._keys.current(received.customer)
        key, shared = self._entropy(KEY), self._entropy(SHARED)
        head = pack_head(
            Sealed(
                disposition=disposition,
                held_at=held_at,
                expires_at=expires_at,
                key=identity,
                wrapped=wrap(customers, key, _about(received.customer, received.id), self._entropy),
                nonce=shared,
                chunk=CHUNK,
            )
        )

        def work() -> list[bytes]:
            return [head, *encrypted(key, shared, head, message)]

        return identity, work() if len(message) <= IN_LOOP else await asyncio.to_thread(work)

    async def header(self, customer: str, message: str) -> Sealed | None:
        """Return what stands before the encrypted message, None when there is no such object. Needs no key."""
        try:
            return unpack_head(await self._store.get(sealed_key(customer, message)))[0]
        except ObjectNotFound:
            return None

    async def open(self, customer: str, message: str) -> bytes:
        """Return the message as it was received.

        Raises ObjectNotFound, ObjectCorrupt when it was changed, and KeyDestroyed.
        """
        sealed, head, chunks = unpack_head(await self._store.get(sealed_key(customer, message)))
        customers = await self._keys.get(customer, sealed.key)
        key = unwrap(customers, sealed.wrapped, _about(customer, message))

        def work() -> bytes:
            return b"".join(decrypted(key, sealed.nonce, head, chunks, sealed.chunk))

        return work() if len(chunks) <= IN_LOOP else await asyncio.to_thread(work)

    async def release(self, disposition: Disposition, command: str) -> str:
        """Put a plain copy where scanner and delivery can read it, and return its key. Raises what `open` raises."""
        received = disposition.received
        place = released_key(received.customer, received.id, command)
        message = await self.open(received.customer, received.id)
        await self._store.put(place, [pack(msgspec.structs.replace(received, key=place)), message])
        return place

    async def delete_released(self, customer: str, message: str, command: str = "") -> None:
        """Delete the plain copy of one command, or of all when none is named."""
        if command:
            await self._store.delete(released_key(customer, message, command))
            return
        for key in [stat.key async for stat in self._store.list(released_prefix(customer, message))]:
            await self._store.delete(key)

    async def delete(self, customer: str, message: str) -> None:
        """Delete all that there is of the message."""
        await self.delete_released(customer, message)
        await self._store.delete(sealed_key(customer, message))


def _recipients(branches: tuple[object, ...]) -> set[str]:
    return {name for branch in branches for name in getattr(branch, "recipients", ())}


def _about(customer: str, message: str) -> str:
    return f"{customer}/{message}"
