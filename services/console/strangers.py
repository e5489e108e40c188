"""Mail to people who have no account: who signs up for a trial, and who reads mail for a domain that is claimed.

As with accounts a link's secret is made when its mail is written; the database has its hash. Using it takes a press of
a button: programs that check mail open every link.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from sqlalchemy import Row, Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.book import MailOrder
from services.console.credentials import new_secret, same, split
from services.console.tables import CUSTOMERS, PROOFS, SIGNUPS

SIGNUP: Final = "signup"  # kinds of mail
PROOF: Final = "proof"
LINK_SECONDS: Final = 86_400.0
KINDS: Final = (SIGNUP, PROOF)
_TABLES: Final = {SIGNUP: SIGNUPS, PROOF: PROOFS}
_PATHS: Final = {SIGNUP: "signup", PROOF: "prove"}


@dataclasses.dataclass(frozen=True, slots=True)
class Stranger:
    """Who gets a mail, and what it is about."""

    customer: str  # on whose behalf; empty: nobody's yet
    address: str  # canonical
    language: str
    path: str  # of the link, on the console
    domain: str = ""
    name: str = ""  # of the customer


async def invite(connection: AsyncConnection, order: MailOrder, now: float) -> Stranger | None:
    """Make the link's secret and return what the mail says; None when it isn't wanted any more."""
    table = _TABLES[order.kind]
    row = (await connection.execute(select(table).where(table.c.id == order.account))).first()
    if row is None or not _good(row, now):
        return None
    secret = new_secret(row.id)
    await connection.execute(update(table).where(table.c.id == row.id).values(hash=secret.hash))
    path = f"/{_PATHS[order.kind]}/{secret.text}"
    if order.kind == SIGNUP:
        return Stranger("", row.address, row.language, path, name=row.name)
    of = (await connection.execute(select(CUSTOMERS).where(CUSTOMERS.c.id == row.customer))).first()
    language = "en" if of is None else of.language
    return Stranger(row.customer, row.address, language, path, domain=row.domain, name=row.customer)


async def linked(connection: AsyncConnection, table: Table, text: str, now: float) -> Row[Any] | None:
    """Return the row that the link is good for, None when it is good for none."""
    identity, secret = split(text)
    row: Row[Any] | None = (await connection.execute(select(table).where(table.c.id == identity))).first()
    known = None if row is None or not row.hash else bytes(row.hash)
    return row if same(known, secret) and row is not None and _good(row, now) else None


async def use(connection: AsyncConnection, table: Table, identity: str, now: float) -> bool:
    """Use the link up; return False when somebody was faster."""
    unused = (table.c.id == identity, table.c.used_at == 0)
    return (await connection.execute(update(table).where(*unused).values(used_at=now))).rowcount > 0


def _good(row: Row[Any], now: float) -> bool:
    return not row.used_at and now < row.expires_at
