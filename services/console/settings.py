"""How a setting of a customer's is changed: its row, its audit line and what the mail path hears of it together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import Customer
from services.console.book import Change, composed, domain_of, written
from services.console.caller import NotFound
from services.console.customers import found
from services.console.tables import CUSTOMERS, DOMAINS


async def current(connection: AsyncConnection, customer: str) -> Customer:
    """Return the customer as the mail path is to know it; raise NotFound."""
    row = await found(connection, customer)
    rows = DOMAINS.select().where(DOMAINS.c.customer == customer).order_by(DOMAINS.c.place)
    return composed(row, [domain_of(each) for each in await connection.execute(rows)])


async def change_settings(
    change: Change,
    customer: str,
    what: str,
    edit: Callable[[Customer], Customer],
    *fields: str,
    said: Callable[[Customer], dict[str, Any]] | None = None,
) -> Customer:
    """Put what `edit` makes of the customer in its place, and return it. Nothing is written where it is the same.

    `fields` are what it may change, and what the audit log says of it, unless `said` does: some hold what nobody is to
    read there. Raises NotFound, and what `edit` raises.
    """
    if not await change.hold(customer):
        raise NotFound(customer)
    before = await current(change.connection, customer)
    after = edit(before)
    if after == before:
        return before
    if not set(fields) >= {name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name)}:
        raise AssertionError("a change beside what it says that it changes")
    rows = update(CUSTOMERS).where(CUSTOMERS.c.id == customer)
    await change.connection.execute(rows.values(settings=written(after)))
    await change.publish(customer)
    told = said or _all_of(fields)
    await change.note(customer, what, customer, before=told(before), after=told(after))
    return after


def _all_of(fields: tuple[str, ...]) -> Callable[[Customer], dict[str, Any]]:
    return lambda customer: {name: msgspec.to_builtins(getattr(customer, name)) for name in fields}
