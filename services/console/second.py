"""The second factor of an account: which it has, and whether what was shown is one. Within whoever's transaction."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Final

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console import totp
from services.console.book import Change
from services.console.secrets import Keeper
from services.console.tables import PASSKEYS, RECOVERY, STEPS, TOTP

BY_CODE: Final = "totp"
BY_RECOVERY: Final = "recovery-code"


@dataclasses.dataclass(frozen=True, slots=True)
class Kinds:
    """What an account has."""

    totp: bool
    passkeys: int
    recovery: int  # codes that are left

    @property
    def any(self) -> bool:
        """Whether a password alone is not enough."""
        return self.totp or self.passkeys > 0


class Seconds:
    """Knows the second factors of accounts."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def kinds(self, connection: AsyncConnection, account: str) -> Kinds:
        """Return what the account has."""
        row = (await connection.execute(select(TOTP.c.confirmed_at).where(TOTP.c.account == account))).first()
        keys = select(func.count()).select_from(PASSKEYS).where(PASSKEYS.c.account == account)
        codes = select(func.count()).select_from(RECOVERY).where(RECOVERY.c.account == account)
        return Kinds(
            totp=row is not None and row.confirmed_at > 0,
            passkeys=int(await connection.scalar(keys) or 0),
            recovery=int(await connection.scalar(codes) or 0),
        )

    # --- codes by time

    async def new_seed(self, change: Change, account: str) -> bytes:
        """Return a seed that counts once a code of it was shown; one that was not confirmed is forgotten."""
        seed = os.urandom(totp.SEED)
        await change.connection.execute(delete(TOTP).where(TOTP.c.account == account, TOTP.c.confirmed_at == 0))
        sealed = self._keeper.seal(account, seed.hex())
        row = {"account": account, "seed": sealed, "confirmed_at": 0.0, "last_step": 0}
        await change.connection.execute(insert(TOTP), [row])
        return seed

    async def seed(self, connection: AsyncConnection, account: str) -> bytes | None:
        """Return the seed that awaits its first code, None when there is none. Raises Refused when it can't be read."""
        row = await self._totp(connection, account)
        return self._seed(account, row) if row is not None and not row.confirmed_at else None

    async def take_code(self, change: Change, account: str, code: str, *, first: bool = False) -> bool:
        """Return whether it is the account's code of now, and use it up. `first`: of a seed that isn't confirmed yet.

        Raises Refused when the seed can't be read.
        """
        row = await self._totp(change.connection, account)
        if row is None or (row.confirmed_at > 0) is first:
            return False
        step = totp.matched(self._seed(account, row), "".join(code.split()), change.now, row.last_step)
        if step is None:
            return False
        # Of two at once who show the same code, one is let in.
        mine = (TOTP.c.account == account, TOTP.c.last_step < step)
        values: dict[str, float] = {"last_step": step, "confirmed_at": row.confirmed_at or change.now}
        taken = await change.connection.execute(update(TOTP).where(*mine).values(**values))
        return taken.rowcount > 0

    async def _totp(self, connection: AsyncConnection, account: str) -> Row[Any] | None:
        return (await connection.execute(select(TOTP).where(TOTP.c.account == account))).first()

    def _seed(self, account: str, row: Row[Any]) -> bytes:
        return bytes.fromhex(self._keeper.open(account, row.seed))

    # --- recovery codes

    async def new_recovery_codes(self, change: Change, account: str) -> list[str]:
        """Return new recovery codes, shown this once; the old ones are void."""
        codes = totp.new_recovery_codes(os.urandom)
        await change.connection.execute(delete(RECOVERY).where(RECOVERY.c.account == account))
        rows = [{"hash": totp.recovery_hash(code), "account": account} for code in codes]
        await change.connection.execute(insert(RECOVERY), rows)
        return codes

    async def take(self, change: Change, account: str, shown: str) -> str:
        """Return which factor it is that was shown, and use it up; empty: none of the account's."""
        if len("".join(shown.split())) == totp.DIGITS:
            return BY_CODE if await self.take_code(change, account, shown) else ""
        mine = (RECOVERY.c.account == account, RECOVERY.c.hash == totp.recovery_hash(shown))
        gone = await change.connection.execute(delete(RECOVERY).where(*mine))
        return BY_RECOVERY if gone.rowcount else ""


async def forget_factors(change: Change, account: str) -> None:
    """Take every factor of the account away."""
    for table in (TOTP, RECOVERY, PASSKEYS, STEPS):
        await change.connection.execute(delete(table).where(table.c.account == account))
