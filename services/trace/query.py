"""What may be asked of the trace, and the statements for it. The same for SQLite and PostgreSQL."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, exists, select

from services.core.errors import ConfigError
from services.core.heading import bare_id
from services.core.ids import is_message_id, message_id
from services.trace.decide import day_of
from services.trace.tables import MESSAGES, RECIPIENTS

_ESCAPE: Final = "\\"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Every condition that is set must hold. Newest first, `limit` at a time; `before` is the last id of a page.

    `customer` None means all customers, and refusals that are nobody's: only an operator may ask that.
    """

    customer: str | None
    recipient: str = ""  # an address, or @domain; upper and lower case are the same
    sender: str = ""  # likewise; <> is the null sender
    subject: str = ""  # a part of it; upper and lower case are the same
    client: str = ""  # an address
    message_id: str = ""  # of RFC 5322
    state: str = ""  # any recipient is there
    refused: bool | None = None  # False: only what was accepted
    since: float = 0.0  # seconds since the epoch; 0: no limit
    until: float = 0.0
    before: str = ""
    limit: int = 50

    def __post_init__(self) -> None:
        if self.before and not is_message_id(self.before):
            raise ConfigError(f"{self.before!r} is no id to go on from")
        if self.limit < 1:
            raise ConfigError("a page has at least one line")


def page(query: Query) -> Select[Any]:
    """Return the statement for a page of messages and refusals."""
    # Which table the order is taken from decides whose index is walked.
    table = RECIPIENTS if _by_recipient(query) else MESSAGES
    statement = select(*MESSAGES.columns)
    if table is RECIPIENTS:
        joined = (MESSAGES.c.day == RECIPIENTS.c.day) & (MESSAGES.c.id == RECIPIENTS.c.id)
        # Said of both: a partition of either is left out where its day is.
        statement = statement.join_from(RECIPIENTS, MESSAGES, joined)
        statement = statement.where(RECIPIENTS.c.recipient_key == query.recipient.lower())
        if query.customer is not None:
            statement = statement.where(RECIPIENTS.c.customer == query.customer)
    for condition in (*_range(query, table), *_conditions(query)):
        statement = statement.where(condition)
    return statement.order_by(table.c.day.desc(), table.c.id.desc()).limit(query.limit)


def _by_recipient(query: Query) -> bool:
    return bool(query.recipient) and not query.recipient.startswith("@")


def _range(query: Query, table: Any) -> list[ColumnElement[bool]]:  # noqa: ANN401  # either table
    found: list[ColumnElement[bool]] = []
    if query.since > 0:
        first = message_id(query.since, bytes)  # the least id of that millisecond
        found += [table.c.day >= day_of(first), table.c.id >= first]
    if query.until > 0:
        end = message_id(query.until, bytes)
        found += [table.c.day <= day_of(end), table.c.id < end]
    if query.before:
        found += [table.c.day <= day_of(query.before), table.c.id < query.before]
    return found


def _conditions(query: Query) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.customer is not None:
        found.append(MESSAGES.c.customer == query.customer)
    if query.recipient.startswith("@"):
        found.append(MESSAGES.c.domain == query.recipient[1:].lower())
    if query.sender.startswith("@"):
        found.append(MESSAGES.c.sender_domain == query.sender[1:].lower())
    elif query.sender:
        found.append(MESSAGES.c.sender_key == query.sender.lower().strip("<>"))
    if query.client:
        found.append(MESSAGES.c.client_ip == query.client)
    if query.message_id:
        found.append(MESSAGES.c.message_id == bare_id(query.message_id))
    if query.subject:
        found.append(MESSAGES.c.subject_key.like(f"%{_literal(query.subject.lower())}%", escape=_ESCAPE))
    if query.refused is not None:
        found.append(MESSAGES.c.refused != "" if query.refused else MESSAGES.c.refused == "")
    if query.state:
        there = (RECIPIENTS.c.day == MESSAGES.c.day) & (RECIPIENTS.c.id == MESSAGES.c.id)
        found.append(exists().where(there, RECIPIENTS.c.state == query.state))
    return found


def _literal(text: str) -> str:
    for letter in (_ESCAPE, "%", "_"):
        text = text.replace(letter, _ESCAPE + letter)
    return text
