"""What people ask of the index: pages of held messages, newest first, by who, from whom, about what and when.

A page is one walk along an index, however many messages there are before it: the next one begins after the last row of
this one (keyset), so nothing is counted and nothing is skipped.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, false, func, literal, or_, select, tuple_

from services.core.ids import is_message_id
from services.quarantine.decide import Held
from services.quarantine.index import fetch, rows_of
from services.quarantine.tables import HELD, State
from services.runtime.database import Database

PAGE_MOST: Final = 200


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to look for, all of it at once. Texts are parts of what is meant, in any case."""

    customer: str
    recipients: tuple[str, ...] | None = None  # in lower case; None: everybody's
    state: State | None = None  # None: all that waits
    everything: bool = False  # what has ended as well
    sender: str = ""
    recipient: str = ""
    subject: str = ""
    reason: str = ""
    reported: str = ""  # clean, spam, wanted
    held_from: float = 0.0
    held_to: float = 0.0  # 0: until now
    after: str = ""  # the cursor of the page before
    limit: int = 50
    domains: frozenset[str] | None = None  # of the recipients; None: any


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and where the next page begins; empty when there is none."""

    rows: Sequence[Held]
    after: str


async def search(database: Database, query: Query) -> Page:
    """Return a page. Raises ValueError for a cursor that is none of ours, DatabaseUnavailable."""
    async with database.reading() as connection:
        keys = (await connection.execute(keys_of(query))).all()
        more = len(keys) > query.limit
        keys = keys[: query.limit]
        if not keys:
            return Page((), "")
        # By id alone, and the rest here: SQLite reads the whole table for a list of pairs.
        chosen = {(row[0], row[1]) for row in keys}
        wanted = HELD.c.id.in_(sorted({row[0] for row in keys}))
        found = await fetch(connection, rows_of().where(wanted).order_by(HELD.c.id.desc(), HELD.c.recipient.desc()))
    rows = [row for row in found if (row.id, row.recipient) in chosen]
    return Page(rows, _cursor(rows[-1]) if more and rows else "")


def keys_of(query: Query) -> Select[Any]:
    """Return the question for a page's keys, and one more to know whether another page follows."""
    wanted: list[ColumnElement[bool]] = [HELD.c.customer == query.customer]
    if query.state is not None:
        wanted.append(HELD.c.state == query.state)
    if not query.everything and query.state is None:
        wanted.append(HELD.c.waits == 1)
    wanted += _whose(query)
    for column, text in (
        (HELD.c.sender, query.sender.casefold()),
        (func.lower(HELD.c.recipient), query.recipient.lower()),
        (HELD.c.words, query.subject.casefold()),
        (func.lower(HELD.c.reason), query.reason.lower()),
    ):
        if text:
            wanted.append(column.contains(text, autoescape=True))
    if query.reported:
        wanted.append(HELD.c.reported == query.reported)
    if query.held_from:
        wanted.append(HELD.c.held_at >= query.held_from)
    if query.held_to:
        wanted.append(HELD.c.held_at < query.held_to)
    if query.after:
        wanted.append(tuple_(HELD.c.id, HELD.c.recipient) < tuple_(*map(literal, _read(query.after))))
    order = (HELD.c.id.desc(), HELD.c.recipient.desc())
    return select(HELD.c.id, HELD.c.recipient).where(*wanted).order_by(*order).limit(query.limit + 1)


def _whose(query: Query) -> list[ColumnElement[bool]]:
    """Return what must hold of the recipient."""
    recipient = func.lower(HELD.c.recipient)
    wanted: list[ColumnElement[bool]] = []
    if query.recipients is not None:
        wanted.append(recipient.in_(query.recipients))
    if query.domains is not None:
        own = (recipient.endswith(f"@{name}", autoescape=True) for name in sorted(query.domains))
        wanted.append(or_(false(), *own))  # of no domain there is nothing, and not everything
    return wanted


def _cursor(row: Held) -> str:
    return base64.urlsafe_b64encode(f"{row.id}{row.recipient}".encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise ValueError("not a cursor") from error
    identity, recipient = text[:26], text[26:]
    if not is_message_id(identity) or not recipient:
        raise ValueError("not a cursor")
    return identity, recipient
