"""What was changed, and what became of messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from pydantic import Field
from sqlalchemy import select

from services.console import models
from services.console.book import Book
from services.console.caller import Caller, NotFound, Refused, allowed
from services.console.roles import Act
from services.console.tables import AUDIT
from services.core.errors import ConfigError
from services.core.ids import is_message_id
from services.trace.index import Found, Index
from services.trace.query import Query
from services.trace.timeline import timeline

PAGE: Final = 50
PAGE_MOST: Final = 500  # messages of a page


class History:
    """Operations that look back."""

    def __init__(self, book: Book, trace: Index) -> None:
        self.book = book
        self._trace = trace

    @allowed(Act.AUDIT_SHOW, limited=True)
    async def audit(self, caller: Caller, customer: str, after: str = "") -> models.AuditLines:
        """What was changed for a customer and by whom, the latest first."""
        asked = select(AUDIT).where(AUDIT.c.customer == customer).order_by(AUDIT.c.id.desc()).limit(PAGE)
        if after:
            asked = asked.where(AUDIT.c.id < after)
        if caller.domains is not None:  # what was done to his domains, and by himself
            asked = asked.where(AUDIT.c.subject.in_(caller.domains) | (AUDIT.c.by == caller.author.name))
        async with self.book.reading() as connection:
            rows = (await connection.execute(asked)).all()
        lines = [
            models.AuditLine(
                id=row.id,
                at=row.at,
                by=row.by,
                client=row.client,
                what=row.what,
                subject=row.subject,
                before=None if hidden else _read(row.before),
                after=None if hidden else _read(row.after),
            )
            for row in rows
            # A setting of the whole customer's, such as its policy: he changed his part, and the line has all of it.
            for hidden in [caller.domains is not None and row.subject == customer]
        ]
        return models.AuditLines(lines=lines, after=rows[-1].id if len(rows) == PAGE else "")

    @allowed(Act.TRACE_SHOW, limited=True)
    async def trace(  # noqa: PLR0913, PLR0917  # what can be asked for
        self,
        caller: Caller,
        customer: str,
        sender: str = "",
        recipient: str = "",
        subject: str = "",
        client: str = "",
        message_id: str = "",
        state: str = "",
        refused: bool | None = None,
        since: float = 0.0,
        until: float = 0.0,
        before: str = "",
        limit: Annotated[int, Field(ge=1, le=PAGE_MOST)] = PAGE,
    ) -> models.Trace:
        """Messages and refusals of a customer, the latest first."""
        try:
            query = Query(
                customer=customer,
                sender=sender.strip(),
                recipient=recipient.strip(),
                subject=subject.strip(),
                client=client.strip(),
                message_id=message_id.strip(),
                state=state,
                refused=refused,
                since=since,
                until=until,
                before=before,
                limit=min(limit, PAGE_MOST),
                domains=caller.domains,
            )
        except ConfigError as error:
            raise Refused("trace.bad", reason=str(error)) from error
        messages = await self._trace.search(query)
        shown = [_traced(message) for message in messages]
        return models.Trace(messages=shown, before=messages[-1].id if len(messages) == query.limit else "")

    @allowed(Act.TRACE_SHOW, limited=True)
    async def traced(self, caller: Caller, customer: str, message: str) -> models.TracedMessage:
        """One of them, with all that happened to it."""
        known = await self._trace.get(message, customer, caller.domains) if is_message_id(message) else None
        if known is None:
            raise NotFound(message)
        told = await self._trace.events(message, customer)
        steps = timeline((each.stamp, each.event) for each in told)
        return models.TracedMessage(
            message=_traced(known),
            steps=[models.Step(at=step.at, what=step.what, lines=list(step.lines)) for step in steps],
        )


def _traced(found: Found) -> models.Traced:
    return models.Traced(
        id=found.id,
        at=found.at,
        sender=found.sender,
        subject=found.subject,
        client=found.client_ip,
        refused=found.refused,
        size=found.size,
        recipients=dict(found.recipients),
    )


def _read(text: str) -> Any:  # noqa: ANN401  # whatever was written down
    return msgspec.json.decode(text) if text else None


def day_start(text: str) -> float:
    """Return the first second of an ISO date in UTC, 0 for an empty text; raise Refused for another."""
    if not text:
        return 0.0
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise Refused("date.bad") from error
