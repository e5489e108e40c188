"""A page of messages: how the statements of `query` are put together, so that none of them looks at all there is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, Select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.trace.query import Place, Query, by_recipient, conditions, keys, page, picked, with_recipient

LOOKED_AT: Final = 500  # messages that are looked at together for what else is asked of them


async def rows_of(connection: AsyncConnection, query: Query, looked_at: int = LOOKED_AT) -> list[Row[Any]]:
    """Return the messages of a page, newest first, without their recipients."""
    if not by_recipient(query):
        return list((await connection.execute(page(query))).all())
    if not conditions(query):
        walk = _FromRecipients(connection, query, query.limit)
        while not walk.done:
            await walk.step()
        return walk.rows
    # Nobody knows which of the two is rare, the recipient or the rest. Both are walked in turns, and who is through
    # first has the page; where neither is rare, it is soon full.
    many = max(query.limit, looked_at)
    ways: tuple[_Walk, ...] = (_FromRecipients(connection, query, many), _FromMessages(connection, query, many))
    while True:
        for way in ways:
            await way.step()
            if way.done:
                return way.rows


class _Walk:
    """Goes down through what is there, newest first, so many at a time, until the page is full or nothing is left."""

    def __init__(self, connection: AsyncConnection, query: Query, many: int) -> None:
        self.rows: list[Row[Any]] = []
        self.done = False
        self._connection = connection
        self._limit = query.limit
        self._query = dataclasses.replace(query, limit=many)

    async def step(self) -> None:
        found = await self._found()
        if found:
            places = [(row.day, row.id) for row in found]
            self.rows += await self._kept(found, places)
            self._query = dataclasses.replace(self._query, before=places[-1][1])
        self.done = len(self.rows) >= self._limit or len(found) < self._query.limit
        self.rows = self.rows[: self._limit]

    async def _rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        found: Sequence[Row[Any]] = (await self._connection.execute(statement)).all()
        return found

    async def _found(self) -> Sequence[Row[Any]]:
        """Return the next that there are."""
        raise NotImplementedError

    async def _kept(self, found: Sequence[Row[Any]], places: Sequence[Place]) -> Sequence[Row[Any]]:
        """Return the messages, of those that were found, that have all that is asked for."""
        raise NotImplementedError


class _FromRecipients(_Walk):
    """Takes the keys of a recipient, or of a rare state, and keeps what else is asked for."""

    async def _found(self) -> Sequence[Row[Any]]:
        return await self._rows(keys(self._query))

    async def _kept(self, found: Sequence[Row[Any]], places: Sequence[Place]) -> Sequence[Row[Any]]:  # noqa: ARG002 - places say it all
        return await self._rows(picked(self._query, places))


class _FromMessages(_Walk):
    """Takes the messages with what else is asked for, and keeps those of the recipient or state."""

    async def _found(self) -> Sequence[Row[Any]]:
        return await self._rows(page(self._query))

    async def _kept(self, found: Sequence[Row[Any]], places: Sequence[Place]) -> Sequence[Row[Any]]:
        wanted = {row.id for row in await self._rows(with_recipient(self._query, places))}
        return [row for row in found if row.id in wanted]
