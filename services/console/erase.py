"""Taking everything out that the database has of a customer, whichever room has put it there."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Table, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.tables import ACCOUNTS, CUSTOMERS, METADATA


async def erase(connection: AsyncConnection, customer: str, keep: Collection[Table] = ()) -> dict[str, int]:
    """Delete every row that names the customer or hangs on an account of his; return how many, by table."""
    people = select(ACCOUNTS.c.id).where(ACCOUNTS.c.customer == customer)
    counts: dict[str, int] = {}
    for table in reversed(METADATA.sorted_tables):  # what refers to others goes before them
        if table in keep or table in (ACCOUNTS, CUSTOMERS):
            continue
        conditions = []
        if "account" in table.c:
            conditions.append(table.c.account.in_(people))
        if "customer" in table.c:
            conditions.append(table.c.customer == customer)
        for condition in conditions:
            gone = await connection.execute(delete(table).where(condition))
            counts[table.name] = counts.get(table.name, 0) + gone.rowcount
    for table, column in (
        (ACCOUNTS, ACCOUNTS.c.customer),
        (CUSTOMERS, CUSTOMERS.c.id),
    ):  # last: by these others are found
        gone = await connection.execute(delete(table).where(column == customer))
        counts[table.name] = gone.rowcount
    return counts
