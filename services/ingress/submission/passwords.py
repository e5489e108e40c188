"""Checks passwords: Argon2id (RFC 9106) in threads, few at a time, and a proof that was given counts for a while."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

SALT: Final = 16  # octets
ITERATIONS, LANES, MEMORY = 2, 1, 19_456  # OWASP's least for Argon2id; KiB
LENGTH: Final = 32  # octets of the hash
PROVED_FOR: Final = 300.0  # seconds: an MTA opens a connection for every few messages
PROVED_MOST: Final = 10_000
PASSWORD_MOST: Final = 1_024  # octets
QUEUE_MOST: Final = 50  # who waits for a check; the others hear a temporary no


class Busy(Exception):  # noqa: N818  # a fact about the moment, not a failure
    """Too many are being checked."""


def hashed(password: bytes, entropy: Callable[[int], bytes]) -> str:
    """Return the PHC string of the password's hash. Takes a quarter of a second of CPU time."""
    kdf = Argon2id(salt=entropy(SALT), length=LENGTH, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY)
    return kdf.derive_phc_encoded(password)


class Passwords:
    """One for the process."""

    def __init__(self, at_once: int, monotonic: Callable[[], float], entropy: Callable[[int], bytes]) -> None:
        self._gate = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._monotonic = monotonic
        self._key = entropy(32)
        self._proved: OrderedDict[bytes, float] = OrderedDict()
        # A name that nobody has is checked against this: the answer takes as long as for one that somebody has.
        self._nobody = hashed(entropy(SALT).hex().encode(), entropy)

    async def right(self, name: str, password: bytes, phc: str | None) -> bool:
        """Return whether the password is the one of the hash; never for None. Raises Busy."""
        if len(password) > PASSWORD_MOST:
            return False
        proof = hmac.digest(self._key, "\0".join((name, phc or "")).encode() + b"\0" + password, hashlib.sha256)
        now = self._monotonic()
        if self._proved.get(proof, 0.0) > now:
            return True
        if self._waiting >= QUEUE_MOST:
            raise Busy
        self._waiting += 1
        try:
            async with self._gate:
                fits = await asyncio.to_thread(_fits, password, phc or self._nobody)
        finally:
            self._waiting -= 1
        if not fits or phc is None:
            return False
        self._proved[proof] = now + PROVED_FOR
        while len(self._proved) > PROVED_MOST:
            self._proved.popitem(last=False)
        return True


def _fits(password: bytes, phc: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password, phc)
    except (InvalidKey, ValueError):
        return False
    return True
