"""Writing: a change, its audit line and what must be published of it are one transaction, or none of them is.

A customer's row is held from the first change in a transaction to its end, so what is published of one customer stands
in the outbox in the order in which it happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas import wire
from schemas.catalog import CUSTOMERS, RECIPIENTS, Topic, key_of
from schemas.events import Customer, Domain, Event, Recipient, Trial
from services.console.licence import KEEP_DAYS, Standing
from services.console.tables import AUDIT, OUTBOX
from services.console.tables import CUSTOMERS as ROWS
from services.console.tables import DOMAINS as DOMAIN_ROWS
from services.console.tables import RECIPIENTS as RECIPIENT_ROWS
from services.core.address import quote
from services.core.clock import Clock
from services.core.directory import recipient_digest
from services.core.ids import message_id
from services.runtime.customers_plan import CONSOLE
from services.runtime.database import Database, database_url
from services.runtime.migrate import migrate

FOLDER: Final = Path(__file__).parent / "migrations"
TOPICS: Final = "topics"  # the lanes of the outbox
MAIL: Final = "mail"
CHUNK: Final = 200  # recipients that are written at once: more would hold up everything else in the process
_decode_customer = msgspec.json.Decoder(Customer)
_decode_domain = msgspec.json.Decoder(Domain)


@dataclasses.dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, as the audit log names him."""

    name: str
    client: str = ""  # the address that he asks from


class MailOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that is to be written and sent. It holds no secret: that is made when it is written."""

    id: str
    kind: str  # activate, reset, welcome, licence, outbound, report; to users user-activate, user-reset, wish-answered
    account: str  # or the user
    domain: str = ""  # that a welcome is for
    period: str = ""  # of a report: daily, weekly, monthly
    since: float = 0.0  # and from when until when
    until: float = 0.0
    message: str = ""  # that a user has asked for
    client: str = ""  # the address that a link was asked for from


class Change:
    """One transaction."""

    def __init__(self, connection: AsyncConnection, author: Author, now: float) -> None:
        self.connection = connection
        self.author = author
        self.now = now
        self.noted = 0
        self.sent = 0

    def new_id(self) -> str:
        """Return an id for a new row."""
        return message_id(self.now, os.urandom)

    async def note(
        self,
        customer: str,
        what: str,
        subject: str,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the audit line. `before` and `after` are what it was and is; never a secret."""
        row = {
            "id": self.new_id(),
            "customer": customer,
            "at": self.now,
            "by": self.author.name,
            "client": self.author.client,
            "what": what,
            "subject": subject,
            "before": "" if before is None else msgspec.json.encode(before).decode(),
            "after": "" if after is None else msgspec.json.encode(after).decode(),
        }
        await self.connection.execute(insert(AUDIT), [row])
        self.noted += 1

    async def send(self, topic: Topic, key: str, event: Event | None) -> None:
        """Put a record of a compacted topic into the outbox; None takes the key out."""
        payload = "" if event is None else wire.encode(event).decode()
        await self._put(TOPICS, topic.name, key, payload)

    async def mail(
        self,
        kind: str,
        account: str,
        domain: str = "",
        *,
        period: str = "",
        since: float = 0.0,
        until: float = 0.0,
        message: str = "",
        client: str = "",
    ) -> None:
        """Put a mail to an account, or to a user, into the outbox."""
        order = MailOrder(
            id=self.new_id(),
            kind=kind,
            account=account,
            domain=domain,
            period=period,
            since=since,
            until=until,
            message=message,
            client=client,
        )
        await self._put(MAIL, kind, account, msgspec.json.encode(order).decode())

    async def link(self, kind: str, account: str, client: str) -> None:
        """Order the link that somebody has asked for; `account` empty: he is nobody, and the outbox drops it.

        Asking changes nothing, and whether it is somebody must not cost more: the audit line comes with the mail.
        """
        await self.mail(kind, account, client=client)
        self.noted += 1

    async def _put(self, lane: str, topic: str, key: str, payload: str) -> None:
        row = {"lane": lane, "topic": topic, "key": key, "payload": payload, "made_at": self.now}
        await self.connection.execute(insert(OUTBOX), [row])
        self.sent += 1

    # --- customers

    async def hold(self, customer: str) -> bool:
        """Hold the customer's row until this transaction ends; return whether there is such a customer."""
        held = await self.connection.execute(
            update(ROWS).where(ROWS.c.id == customer).values(version=ROWS.c.version + 1)
        )
        return held.rowcount > 0

    async def publish(self, customer: str) -> None:
        """Put the customer as it is now into the outbox. `hold` comes before whatever changed it."""
        event = await event_of(self.connection, customer)
        if event is not None:
            await self.send(CUSTOMERS, customer, event)

    async def set_recipients(
        self, customer: str, salt: str, addresses: frozenset[str], groups: Mapping[str, str] | None = None
    ) -> None:
        """Make these, canonical, the customer's recipients; what comes is published at once and what goes as well.

        `groups` has, by address, the names of those that it is in, with commas between; None: as they are.
        """
        mine = RECIPIENT_ROWS.c.customer == customer
        there = await listed(self.connection, customer)
        named = there if groups is None else groups
        changed = {address for address in addresses & there.keys() if named.get(address, "") != there[address]}
        gone = sorted(there.keys() - addresses)
        for some in _in_chunks(sorted(changed) + gone):
            await self.connection.execute(delete(RECIPIENT_ROWS).where(mine, RECIPIENT_ROWS.c.address.in_(some)))
        for some in _in_chunks(sorted((addresses - there.keys()) | changed)):
            rows = [{"customer": customer, "address": each, "groups": named.get(each, "")} for each in some]
            await self.connection.execute(insert(RECIPIENT_ROWS), rows)
            await self._recipients(_recipient(customer, salt, each, named.get(each, "")) for each in some)
        for some in _in_chunks(gone):
            await self._recipients((_recipient(customer, salt, address) for address in some), gone=True)

    async def _recipients(self, events: Iterable[Recipient], *, gone: bool = False) -> None:
        """Put many of them into the outbox at once."""
        rows = [
            {
                "lane": TOPICS,
                "topic": RECIPIENTS.name,
                "key": key_of(event),
                "payload": "" if gone else wire.encode(event).decode(),
                "made_at": self.now,
            }
            for event in events
        ]
        await self.connection.execute(insert(OUTBOX), rows)
        self.sent += len(rows)


class Book:
    """The database. Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database, clock: Clock, keep_days: float = KEEP_DAYS) -> None:
        self.database = database
        self.clock = clock
        self._keep_days = keep_days
        self.changed = asyncio.Event()  # something lies in the outbox: who empties it need not look all the time

    @classmethod
    async def open(cls, url: str, clock: Clock, keep_days: float = KEEP_DAYS) -> Book:
        """Return the database at the URL, its tables up to date; raises ConfigError or StartError, one line."""
        parsed = database_url(url)
        await migrate(parsed, FOLDER)
        return cls(Database(parsed), clock, keep_days)

    async def close(self) -> None:
        """Close every connection."""
        await self.database.close()

    def standing(self, row: Row[Any, *tuple[Any, ...]]) -> Standing:
        """Return what the customer of a row has."""
        return Standing(row.trial_until, row.paid_until, keep_days=self._keep_days)

    @contextlib.asynccontextmanager
    async def change(self, author: Author) -> AsyncIterator[Change]:
        """A transaction that changes something. One that sends without an audit line is a defect: AssertionError."""
        async with self.database.writing() as connection:
            change = Change(connection, author, self.clock.now())
            yield change
            if change.sent and not change.noted:
                raise AssertionError("a change without an audit line")
        if change.sent:
            self.changed.set()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads."""
        async with self.database.reading() as connection:
            yield connection


# --- from rows to events


async def event_of(connection: AsyncConnection, customer: str) -> Customer | None:
    """Return the customer as the mail path is to know it, None when there is none of the id."""
    row = (await connection.execute(select(ROWS).where(ROWS.c.id == customer))).first()
    if row is None:
        return None
    domains = select(DOMAIN_ROWS).where(DOMAIN_ROWS.c.customer == customer).order_by(DOMAIN_ROWS.c.place)
    return composed(row, [domain_of(found) for found in await connection.execute(domains)])


def composed(row: Row[Any], domains: list[Domain]) -> Customer:
    """Return the event: of the domains those that have somewhere to go."""
    settings = settings_of(row)
    routed = tuple(domain for domain in domains if domain.relay)
    lapses_at = Standing(row.trial_until, row.paid_until).lapses_at
    trial = Trial() if row.paid_until else settings.trial  # what was agreed for a trial ends with the first key
    return msgspec.structs.replace(
        settings, id=row.id, domains=routed, origin=CONSOLE, lapses_at=lapses_at, trial=trial
    )


def settings_of(row: Row[Any]) -> Customer:
    """Return what a customer's row says beside its domains."""
    return _decode_customer.decode(row.settings)


def domain_of(row: Row[Any]) -> Domain:
    """Return what a domain's row says."""
    return _decode_domain.decode(row.spec)


def written(event: Customer | Domain) -> str:
    """Return how a row says it: domains stand in rows of their own."""
    if isinstance(event, Customer):
        event = msgspec.structs.replace(event, domains=(), origin="", lapses_at=0.0)
    return msgspec.json.encode(event).decode()


async def wanted(connection: AsyncConnection) -> dict[tuple[str, str], Event]:
    """Return what the topics must hold of what the console keeps, by topic and key."""
    found: dict[tuple[str, str], Event] = {}
    salts: dict[str, str] = {}
    for row in (await connection.execute(select(ROWS))).all():
        event = await event_of(connection, row.id)
        if event is not None:
            found[CUSTOMERS.name, row.id] = event
            salts[row.id] = event.salt
    for customer, address, groups in (await connection.execute(select(RECIPIENT_ROWS))).all():
        recipient = _recipient(customer, salts[customer], address, groups)
        found[RECIPIENTS.name, key_of(recipient)] = recipient
    return found


def _in_chunks(addresses: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(addresses), CHUNK):
        yield addresses[start : start + CHUNK]


async def listed(connection: AsyncConnection, customer: str) -> dict[str, str]:
    """Return the addresses of the customer's list, each with the names of its groups, with commas between."""
    asked = select(RECIPIENT_ROWS.c.address, RECIPIENT_ROWS.c.groups).where(RECIPIENT_ROWS.c.customer == customer)
    return {row.address: row.groups for row in await connection.execute(asked)}


def _recipient(customer: str, salt: str, address: str, groups: str = "") -> Recipient:
    names = tuple(groups.split(",")) if groups else ()
    return Recipient(customer=customer, digest=recipient_digest(salt, _spelled(address)), groups=names)


def _spelled(canonical: str) -> str:
    local, _, domain = canonical.rpartition("@")
    return f"{quote(local)}@{domain}"
