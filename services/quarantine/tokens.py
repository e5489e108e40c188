"""Who may use the API: tokens, kept as hashes, each of one customer and one role.

A token has 256 bits of chance, so one SHA-256 is as good as a slow hash: there is nothing to guess from.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import hmac
import re
import secrets
from typing import Final

from sqlalchemy import insert, select, update

from services.core.clock import Clock
from services.core.ids import message_id
from services.quarantine.tables import TOKENS
from services.runtime.database import Database

DAYS: Final = 365.0
_SHAPE: Final = re.compile(r"gp_([0-9A-HJKMNP-TV-Z]{26})_([A-Za-z0-9_-]{43})")


class Role(enum.StrEnum):
    """What a caller is to the customer."""

    OWNER = "owner"  # runs the installation: every customer, and no content of anybody's mail
    ADMINISTRATOR = "administrator"
    HELPDESK = "helpdesk"
    AUDITOR = "auditor"  # sees what was done, and no content
    USER = "user"  # his own addresses


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds a token that is good."""

    token: str  # its id
    customer: str  # empty: every one
    role: Role
    addresses: tuple[str, ...]  # of a user, in lower case
    label: str
    message: str = ""  # a pass to look into this one, and to nothing else

    @property
    def name(self) -> str:
        """How events name him."""
        return f"{self.label or self.token} ({self.role.value})"


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """A token as it is listed: never the secret."""

    id: str
    customer: str
    role: str
    addresses: tuple[str, ...]
    label: str
    made_at: float
    expires_at: float
    revoked_at: float


class Tokens:
    """The tokens in the database. Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def make(
        self, role: Role, customer: str, *, addresses: tuple[str, ...] = (), label: str = "", days: float = DAYS
    ) -> str:
        """Return a new token; it is shown this once. Raises ValueError for a role without what it is bound to."""
        if (role is Role.OWNER) is bool(customer):
            raise ValueError("an owner has no customer, and every other role has one")
        if (role is Role.USER) is not bool(addresses):
            raise ValueError("a user has addresses, and no other role has")
        now = self._clock.now()
        identity, secret = message_id(now, secrets.token_bytes), secrets.token_urlsafe(32)
        row = {
            "id": identity,
            "hash": _hash(secret),
            "customer": customer,
            "role": role.value,
            "addresses": "\n".join(address.lower() for address in addresses),
            "label": label,
            "made_at": now,
            "expires_at": now + days * 86_400,
            "revoked_at": 0.0,
        }
        async with self._database.writing() as connection:
            await connection.execute(insert(TOKENS), [row])
        return f"gp_{identity}_{secret}"

    async def check(self, text: str) -> Caller | None:
        """Return who holds the token, None when it is none of ours, was revoked or is too old."""
        found = _SHAPE.fullmatch(text)
        identity, secret = (found[1], found[2]) if found else ("", "")
        async with self._database.reading() as connection:
            row = (await connection.execute(select(TOKENS).where(TOKENS.c.id == identity))).first()
        known = bytes(32) if row is None else bytes(row.hash)
        if not hmac.compare_digest(known, _hash(secret)) or row is None:
            return None
        if row.revoked_at or self._clock.now() >= row.expires_at:
            return None
        return Caller(row.id, row.customer, Role(row.role), tuple(row.addresses.split()), row.label)

    async def list(self, customer: str | None = None) -> list[Token]:
        """Return every token, or a customer's, the newest first."""
        wanted = select(TOKENS).order_by(TOKENS.c.id.desc())
        if customer is not None:
            wanted = wanted.where(TOKENS.c.customer == customer)
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted)).all()
        return [
            Token(
                row.id,
                row.customer,
                row.role,
                tuple(row.addresses.split()),
                row.label,
                row.made_at,
                row.expires_at,
                row.revoked_at,
            )
            for row in rows
        ]

    async def revoke(self, identity: str) -> bool:
        """Revoke a token, from now on; return whether there was one that was good."""
        good = (TOKENS.c.id == identity, TOKENS.c.revoked_at == 0)
        async with self._database.writing() as connection:
            gone = await connection.execute(update(TOKENS).where(*good).values(revoked_at=self._clock.now()))
        return gone.rowcount > 0


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
