"""Secrets: passwords by argon2, everything else as SHA-256 of what has 256 bits of chance."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import hmac
import re
import secrets
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

PASSWORD_LEAST: Final = 12  # characters
PASSWORD_MOST: Final = 256
AT_ONCE: Final = 2  # hashes: each takes 19 MiB and a core for some tens of milliseconds
_SHAPE: Final = re.compile(r"(?:[a-z]{2,4}_)?([0-9A-HJKMNP-TV-Z]{26})_([A-Za-z0-9_-]{43})")


@dataclasses.dataclass(frozen=True, slots=True)
class Secret:
    """A new secret: `text` goes to whoever may hold it, `hash` to the database."""

    text: str
    hash: bytes


def new_secret(identity: str, kind: str = "") -> Secret:
    """Return a secret for the row of this id; `kind` begins its text, so that scanners for leaked secrets know it."""
    secret = secrets.token_urlsafe(32)
    return Secret(f"{kind}_{identity}_{secret}" if kind else f"{identity}_{secret}", hashed(secret))


def split(text: str) -> tuple[str, str]:
    """Return the id and the secret; two empty texts for what is none of ours."""
    found = _SHAPE.fullmatch(text) if len(text) < 100 else None  # noqa: PLR2004  # longer than any of ours
    return (found[1], found[2]) if found else ("", "")


def hashed(secret: str) -> bytes:
    """Return what the database has of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def same(stored: bytes | None, secret: str) -> bool:
    """Return whether the secret is the one whose hash is stored; as slow for one that isn't stored at all."""
    right = hmac.compare_digest(bytes(32) if stored is None else stored, hashed(secret))
    return right and stored is not None


def csrf_of(session: str) -> str:
    """Return the token that a session's forms carry: who can't read its cookie can't make it."""
    return hmac.digest(session.encode(), b"form 1", hashlib.sha256).hex()[:32]


class Passwords:
    """Hashes and checks passwords in threads, few at once."""

    def __init__(self, *, time_cost: int = 2, memory_kib: int = 19_456) -> None:
        """The defaults are OWASP's for argon2id with one lane."""
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    async def hash(self, password: str) -> str:
        """Return argon2's form of the password, with its salt and parameters."""
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def check(self, stored: str, password: str) -> bool:
        """Return whether it is the password; where none is stored, the answer takes as long."""
        async with self._turn:
            right = await asyncio.to_thread(self._verify, stored or self._nobody, password[:PASSWORD_MOST])
        return right and bool(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


def password_problem(password: str, address: str) -> str | None:
    """Return the key of what is wrong with a new password, None for a good one (NIST SP 800-63B: length, no rules)."""
    if len(password) < PASSWORD_LEAST:
        return "password.short"
    if len(password) > PASSWORD_MOST:
        return "password.long"
    folded = password.casefold()
    if len(set(folded)) < 5 or folded in {address.casefold(), address.partition("@")[0].casefold()}:  # noqa: PLR2004
        return "password.guessable"
    return None
