"""What may be asked of the trace, and the statements for it. The same for SQLite and PostgreSQL."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Integer,
    Select,
    Table,
    Text,
    TextClause,
    bindparam,
    column,
    exists,
    func,
    select,
    values,
)

from services.core.errors import ConfigError
from services.core.heading import bare_id
from services.core.ids import is_message_id, message_id
from services.trace.decide import STATES, day_of
from services.trace.tables import MESSAGES, RECIPIENTS, UNUSUAL, USUAL

Place = tuple[int, str]  # day and id
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
    domains: frozenset[str] | None = None  # only what is for these; None: for any

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
    """Return the statement for messages and refusals, newest first; a recipient's address or rare state is left out."""
    statement = select(*MESSAGES.columns).where(*_range(query, MESSAGES), *_of_customer(query, MESSAGES))
    statement = statement.where(*conditions(query))
    return statement.order_by(MESSAGES.c.day.desc(), MESSAGES.c.id.desc()).limit(query.limit)


def by_recipient(query: Query) -> bool:
    """Return whether a recipient's address or a rare state is asked for.

    Such a query is answered from `keys` and `picked`, or from `page` and `with_recipient`: for a join over all days
    PostgreSQL's plans take seconds, as it can't know how little it will find.
    """
    return bool(query.recipient_key) or query.state not in {"", *USUAL}


def keys(query: Query) -> Select[Any]:
    """Return the statement for days and ids that the recipient or the state picks out, newest first."""
    statement = select(RECIPIENTS.c.day, RECIPIENTS.c.id).distinct()  # it may be there twice, in upper and lower case
    statement = statement.where(*_of_recipient(query), *_range(query, RECIPIENTS))
    return statement.order_by(RECIPIENTS.c.day.desc(), RECIPIENTS.c.id.desc()).limit(query.limit)


def picked(query: Query, places: Sequence[Place]) -> Select[Any]:
    """Return the statement for the messages at these places that fulfil all else, newest first."""
    statement = placed(places, MESSAGES, *MESSAGES.columns).where(*_of_customer(query, MESSAGES))
    return statement.where(*conditions(query)).order_by(MESSAGES.c.day.desc(), MESSAGES.c.id.desc())


def with_recipient(query: Query, places: Sequence[Place]) -> Select[Any]:
    """Return the statement for the ids of those at these places that have the recipient or the state."""
    return placed(places, RECIPIENTS, RECIPIENTS.c.id).where(*_of_recipient(query))


def placed(places: Sequence[Place], table: Table, *columns: Column[Any]) -> Select[Any]:
    """Return the statement for what a table has at these places.

    A join with them: told two lists, days and ids, PostgreSQL looks for every id on every day.
    """
    given = values(column("day", Integer), column("id", Text), name="place").data(list(places)).cte("place")
    return select(*columns).select_from(given.join(table, (table.c.day == given.c.day) & (table.c.id == given.c.id)))


def _of_recipient(query: Query) -> list[ColumnElement[bool] | TextClause]:
    found: list[ColumnElement[bool] | TextClause] = [*_of_customer(query, RECIPIENTS)]
    if query.recipient_key:
        found.append(RECIPIENTS.c.recipient_key == query.recipient_key)
    if query.state:
        found.append(RECIPIENTS.c.state == _constant(query.state))
        if query.state not in USUAL:
            found.append(UNUSUAL)
    return found


def _of_customer(query: Query, table: Table) -> list[ColumnElement[bool]]:
    return [] if query.customer is None else [table.c.customer == query.customer]


def _constant(state: str) -> BindParameter[str]:
    # In the text of the statement: a plan for any state at all could not use an index that has only some of them.
    return bindparam(None, state, type_=Text, literal_execute=True)


def _range(query: Query, table: Table) -> list[ColumnElement[bool]]:
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


def conditions(query: Query) -> list[ColumnElement[bool]]:
    """Return what is asked of the message itself, beside whose it is and when it came."""
    found: list[ColumnElement[bool]] = []
    if query.recipient.startswith("@"):
        found.append(MESSAGES.c.domain == query.recipient[1:].lower())
    if query.domains is not None:
        found.append(MESSAGES.c.domain.in_(query.domains))
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


def top_senders(customer: str, since: float, until: float, most: int) -> Select[Any]:
    """Return the statement for who sent a customer most messages, and how many; what was refused is left out."""
    count = func.count().label("many")
    statement = select(MESSAGES.c.sender_key, count).where(*_taken(customer, since, until), MESSAGES.c.sender_key != "")
    return statement.group_by(MESSAGES.c.sender_key).order_by(count.desc(), MESSAGES.c.sender_key).limit(most)


def top_recipients(customer: str, since: float, until: float, most: int) -> Select[Any]:
    """Return the statement for who of a customer was sent most messages, and how many."""
    count = func.count().label("many")
    there = (RECIPIENTS.c.day == MESSAGES.c.day) & (RECIPIENTS.c.id == MESSAGES.c.id)
    statement = select(RECIPIENTS.c.recipient_key, count).select_from(MESSAGES.join(RECIPIENTS, there))
    # The time of both: PostgreSQL would else look for a message's recipients on every day.
    statement = statement.where(*_taken(customer, since, until), *_range(_window(customer, since, until), RECIPIENTS))
    return statement.group_by(RECIPIENTS.c.recipient_key).order_by(count.desc(), RECIPIENTS.c.recipient_key).limit(most)


def _taken(customer: str, since: float, until: float) -> list[ColumnElement[bool]]:
    query = _window(customer, since, until)
    return [*_range(query, MESSAGES), *_of_customer(query, MESSAGES), *conditions(query)]


def _window(customer: str, since: float, until: float) -> Query:
    return Query(customer=customer, refused=False, since=since, until=until)


def _literal(text: str) -> str:
    for letter in (_ESCAPE, "%", "_"):
        text = text.replace(letter, _ESCAPE + letter)
    return text
