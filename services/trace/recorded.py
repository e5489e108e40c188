"""What the trace has of decided messages: what came in, and what the scanners said of it. For who decides once more."""

from __future__ import annotations

import dataclasses
from typing import Final

from sqlalchemy import Select

from schemas.events import Disposition, Received, Verdict
from services.trace.query import Query, placed
from services.trace.tables import EVENTS

KINDS: Final = (Received.__name__, Verdict.__name__, Disposition.__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """One message, its events as JSON: who wants many of them decodes them where that holds nobody up."""

    id: str
    events: tuple[tuple[str, str], ...]  # the event's name and the event


def messages(customer: str, since: float, before: str, limit: int, domains: frozenset[str] | None = None) -> Query:
    """Return the query for the next messages, newest first; `before` is the id of the last one that is known."""
    return Query(customer=customer, since=since, before=before, refused=False, limit=limit, domains=domains)


def told(customer: str, places: list[tuple[int, str]]) -> Select[tuple[str, str, str]]:
    """Return the statement for the events of the messages at these places (day, id)."""
    found = placed(places, EVENTS, EVENTS.c.id, EVENTS.c.topic, EVENTS.c.event)
    return found.where(EVENTS.c.customer == customer, EVENTS.c.topic.in_(KINDS))
