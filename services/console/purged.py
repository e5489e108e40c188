"""What operators see of customers whose data was deleted."""

from __future__ import annotations

from sqlalchemy import select

from services.console import models
from services.console.book import Book
from services.console.caller import Caller, NotFound, allowed
from services.console.roles import Act
from services.console.tables import PURGES

PAGE = 50


class Purged:
    """Operations on purges that were begun or have ended."""

    def __init__(self, book: Book) -> None:
        self.book = book

    @allowed(Act.CUSTOMERS_SHOW)
    async def purges(self, caller: Caller, after: str = "") -> models.Purges:  # noqa: ARG002 - `allowed` reads it
        """Customers whose data was deleted after their licence had lapsed, the latest first."""
        asked = select(PURGES).order_by(PURGES.c.id.desc()).limit(PAGE)
        if after:
            asked = asked.where(PURGES.c.id < after)
        async with self.book.reading() as connection:
            rows = (await connection.execute(asked)).all()
        shown = [
            models.Purge(
                id=row.id,
                of=row.customer,
                name=row.name,
                lapsed_at=row.lapsed_at,
                begun_at=row.begun_at,
                ended_at=row.ended_at,
            )
            for row in rows
        ]
        return models.Purges(purges=shown, after=rows[-1].id if len(rows) == PAGE else "")

    @allowed(Act.CUSTOMERS_SHOW)
    async def certificate(self, caller: Caller, purge: str) -> models.Certificate:  # noqa: ARG002 - as above
        """The signed certificate of what was deleted."""
        async with self.book.reading() as connection:
            text = await connection.scalar(select(PURGES.c.certificate).where(PURGES.c.id == purge))
        if not text:
            raise NotFound(purge)
        return models.Certificate.model_validate_json(text)
