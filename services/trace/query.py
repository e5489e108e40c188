"""What may be asked of the trace, and the statements for it. The same for SQLite and PostgreSQL."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, FromClause, Select, Subquery, Text, bindparam, exists, select

from services.core.errors import ConfigError
from services.core.heading import bare_id
from services.core.ids import is_message_id, message_id
from services.trace.decide import STATES, day_of
from services.trace.tables import MESSAGES, RECIPIENTS, UNUSUAL, USUAL

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
    state: str = ""  # the recipient is there, or any of them where none is named
    refused: bool | None = None  # False: only what was accepted
    since: float = 0.0  # seconds since the epoch; 0: no limit
    until: float = 0.0
    before: str = ""
    limit: int = 50

    def __post_init__(self) -> None:
        if self.before and not is_message_id(self.before):
            raise ConfigError(f"{self.before!r} is no id to go on from")
        if self.state and self.state not in STATES:
            raise ConfigError(f"{self.state!r} is no state; there are {', '.join(STATES)}")
        if self.limit < 1:
            raise ConfigError("a page has at least one line")

    @property
    def recipient_key(self) -> str:
        """The recipient as it is looked up; empty when none is named, or all of a domain."""
        return "" if self.recipient.startswith("@") else self.recipient.lower()


def page(query: Query) -> Select[Any]:
    """Return the statement for a page of messages and refusals."""
    # Which table the order is taken from decides whose index is walked.
    keys = _keys(query)
    table: FromClause = MESSAGES
    statement = select(*MESSAGES.columns)
    if keys is not None:
        table = keys
        joined = (MESSAGES.c.day == keys.c.day) & (MESSAGES.c.id == keys.c.id)
        statement = statement.join_from(keys, MESSAGES, joined)
    for condition in (*_range(query, MESSAGES), *_conditions(query)):
        statement = statement.where(condition)
    return statement.order_by(table.c.day.desc(), table.c.id.desc()).limit(query.limit)


def _keys(query: Query) -> Subquery | None:
    """Return the messages that a recipient or a rare state picks out, in a page's order; None when neither does."""
    if not query.recipient_key and query.state in {"", *USUAL}:
        return None
    statement = select(RECIPIENTS.c.day, RECIPIENTS.c.id).distinct()  # it may be there twice, in upper and lower case
    if query.recipient_key:
        statement = statement.where(RECIPIENTS.c.recipient_key == query.recipient_key)
    if query.state:
        statement = statement.where(RECIPIENTS.c.state == _constant(query.state))
        if query.state not in USUAL:
            statement = statement.where(UNUSUAL)
    if query.customer is not None:
        statement = statement.where(RECIPIENTS.c.customer == query.customer)
    for condition in _range(query, RECIPIENTS):
        statement = statement.where(condition)
    return statement.order_by(RECIPIENTS.c.day.desc(), RECIPIENTS.c.id.desc()).subquery("keys")


def _constant(state: str) -> BindParameter[str]:
    # In the text of the statement: a plan for any state at all could not use an index that has only some of them.
    return bindparam(None, state, type_=Text, literal_execute=True)


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
    if query.state in USUAL and not query.recipient_key:
        there = (RECIPIENTS.c.day == MESSAGES.c.day) & (RECIPIENTS.c.id == MESSAGES.c.id)
        found.append(exists().where(there, RECIPIENTS.c.state == query.state))
    return found


def _literal(text: str) -> str:
    for letter in (_ESCAPE, "%", "_"):
        text = text.replace(letter, _ESCAPE + letter)
    return text
