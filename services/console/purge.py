"""Deleting a lapsed customer's data for good, once its time has come, and saying what was deleted.

What the database of the console has goes at once, and with it the customer from the topics: its mail is refused from
then on. What others own goes through them, some at a time: what one round doesn't finish the next one does. Every step
may be done again. The certificate is made when a round, long enough after, finds nothing any more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from sqlalchemy import Row, insert, select, update

from schemas.catalog import CUSTOMERS as CUSTOMERS_TOPIC
from schemas.catalog import DIRECTORY_STATE, HOLDS, RECIPIENTS, SENDERS, Topic
from schemas.events import Command, Event
from services.console.book import Author, Book
from services.console.certificate import issue
from services.console.erase import erase
from services.console.licence import State, state_of
from services.console.tables import CUSTOMERS, PURGES
from services.core.errors import BusUnavailable, DatabaseUnavailable, StoreUnavailable
from services.core.sealed import KEYS, PREFIX
from services.core.secrets import Secrets
from services.core.waiting import happens
from services.quarantine import ask
from services.quarantine.index import Index as Quarantine
from services.quarantine.keyring import Keyring
from services.runtime import dkim_keys
from services.runtime.bus import Bus, Tombstone
from services.runtime.latest import latest
from services.runtime.store import Store
from services.trace.index import Index as Trace

log = logging.getLogger("gatepost.console")

EVERY: Final = 600.0  # seconds between rounds
SETTLED: Final = (
    3_600.0  # seconds after which nothing that was accepted before is still on its way to be held or traced
)
BATCH: Final = 500  # records published together
AUTHOR: Final = Author("console")
BY: Final = "console, as the licence lapsed long ago"
COUNTS: Final = dict[str, int]


class Gone(NamedTuple):
    """What was deleted in one round."""

    counts: Mapping[str, int]  # of each kind; empty: nothing was there
    more: bool = False  # something is left that somebody was told to end


class Owner(Protocol):
    """Somebody who keeps something of customers."""

    async def purge(self, customer: str) -> Gone:
        """Delete what there is of a customer's, and return what that was."""
        ...


class Purges:
    """Looks whose time has come."""

    def __init__(self, book: Book, owners: list[Owner], secrets: Secrets | None, hostname: str) -> None:
        """`secrets` signs the certificates: without it nothing is deleted."""
        self._book = book
        self._owners = owners
        self._secrets = secrets
        self._hostname = hostname

    async def run(self, stop: asyncio.Event) -> None:
        """Look every now and then, until `stop`."""
        if self._secrets is None:
            log.error("event=purge-impossible error=no GATEPOST_CONSOLE_KEY to sign certificates with")
            return
        while not await happens(stop, EVERY):
            try:
                await self.round()
            except (BusUnavailable, DatabaseUnavailable, StoreUnavailable) as error:
                log.warning("event=purge-put-off error=%s", error)

    async def round(self) -> int:
        """Begin what is due, go on with what was begun, and return how many were ended."""
        async with self._book.reading() as connection:
            rows = (await connection.execute(select(CUSTOMERS))).all()
        for row in rows:
            if self._due(row):
                await self._begin(row.id)
        async with self._book.reading() as connection:
            begun = (await connection.execute(select(PURGES).where(PURGES.c.ended_at == 0))).all()
        return sum([await self._go_on(row) for row in begun])

    def _due(self, row: Row[Any]) -> bool:
        return state_of(self._book.standing(row), self._book.clock.now()) is State.PURGE

    async def _begin(self, customer: str) -> None:
        """Take the customer out of database and topics, in one transaction: a key that comes later finds nobody."""
        async with self._book.change(AUTHOR) as change:
            if not await change.hold(customer):
                return
            row = (await change.connection.execute(select(CUSTOMERS).where(CUSTOMERS.c.id == customer))).one()
            if not self._due(row):  # renewed a moment ago
                return
            name = msgspec.json.decode(row.settings).get("name", "")
            counts = await erase(change.connection, customer, keep=(PURGES,))
            purge = {
                "id": change.new_id(),
                "customer": customer,
                "name": name,
                "lapsed_at": self._book.standing(row).lapses_at,
                "begun_at": change.now,
                "ended_at": 0.0,
                "counts": _json({f"{table} rows": count for table, count in counts.items() if count}),
                "certificate": "",
            }
            await change.connection.execute(insert(PURGES), [purge])
            await change.send(CUSTOMERS_TOPIC, customer, None)
            await change.note("", "purge-begun", customer)
        log.warning("customer=%s event=purge-begun", customer)

    async def _go_on(self, row: Row[Any]) -> bool:
        clean: bool = self._book.clock.now() >= row.begun_at + SETTLED
        for owner in self._owners:
            gone = await owner.purge(row.customer)
            if gone.counts:
                await self._add(row.id, gone.counts)
            clean = clean and not gone.counts and not gone.more
        if clean:
            await self._certify(row.id)
        return clean

    async def _add(self, identity: str, found: Mapping[str, int]) -> None:
        async with self._book.database.writing() as connection:
            counts = _counts(await connection.scalar(select(PURGES.c.counts).where(PURGES.c.id == identity)))
            for kind, count in found.items():
                counts[kind] = counts.get(kind, 0) + count
            await connection.execute(update(PURGES).where(PURGES.c.id == identity).values(counts=_json(counts)))

    async def _certify(self, identity: str) -> None:
        if self._secrets is None:
            return
        async with self._book.change(AUTHOR) as change:
            row = (await change.connection.execute(select(PURGES).where(PURGES.c.id == identity))).one()
            if row.ended_at:
                return
            certificate = issue(
                self._secrets.signing(),
                identity=row.id,
                customer=row.customer,
                name=row.name,
                service=self._hostname,
                times={
                    "licence_lapsed": row.lapsed_at,
                    "deletion_begun": row.begun_at,
                    "deletion_ended": change.now,
                },
                counts=_counts(row.counts),
            )
            values = {"ended_at": change.now, "certificate": msgspec.json.encode(certificate).decode()}
            await change.connection.execute(update(PURGES).where(PURGES.c.id == identity).values(values))
            await change.note("", "purge-ended", row.customer, after=_counts(row.counts))
        log.warning("customer=%s event=purge-ended certificate=%s", row.customer, row.id)


def _json(counts: Mapping[str, int]) -> str:
    return msgspec.json.encode(dict(counts)).decode()


def _counts(text: str | None) -> dict[str, int]:
    return msgspec.json.decode(text or "{}", type=COUNTS)


# --- the owners


class OfQuarantine:
    """Keys first: from then on what is held can't be read any more. Then each message ends as deleted."""

    def __init__(self, index: Quarantine, store: Store, bus: Bus, keys: Keyring) -> None:
        self._index = index
        self._store = store
        self._bus = bus
        self._keys = keys

    async def purge(self, customer: str) -> Gone:
        """See Owner. Deleting is the quarantine's: it is told to, and has done it when nothing waits."""
        held = await self._index.waiting_of(customer)
        has_keys = [stat.key async for stat in self._store.list(f"{KEYS}/{customer}")]
        if has_keys:
            await self._keys.destroy(customer)
        counts = {"quarantine keys": len(has_keys)}
        if held:
            orders: list[Event] = [
                ask.command(Command.DELETE, message, customer, (), BY, time.time()) for message in held
            ]
            await _publish(self._bus, orders)
            return Gone(_some(counts), more=True)
        if [stat.key async for stat in self._store.list(f"{PREFIX}/{customer}")]:
            return Gone(_some(counts), more=True)  # it deletes them by the rows that we would erase
        gone = await self._index.erase(customer)
        await _publish(self._bus, [Tombstone(HOLDS, message) for message in gone])
        return Gone(_some({**counts, "quarantined messages": len(gone)}))


class OfTopics:
    """What compacted topics hold: recipients of every source, senders, and how syncs went."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def purge(self, customer: str) -> Gone:
        """See Owner."""
        counts = {}
        for topic in (RECIPIENTS, SENDERS, DIRECTORY_STATE):
            keys = await self._keys(topic, customer)
            await _publish(self._bus, [Tombstone(topic, key) for key in keys])
            counts[f"{topic.name} records"] = len(keys)
        return Gone(_some(counts))

    async def _keys(self, topic: Topic, customer: str) -> list[str]:
        return [key for key in await latest(self._bus, topic, Event) if key.partition("/")[0] == customer]


class OfTrace:
    """What became of messages."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    async def purge(self, customer: str) -> Gone:
        """See Owner."""
        return Gone(_some({"trace rows": await self._trace.erase(customer)}))


class OfSigning:
    """The domains' DKIM keys."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def purge(self, customer: str) -> Gone:
        """See Owner."""
        count = 0
        for prefix in (dkim_keys.IN_USE, dkim_keys.KEYS):
            for key in [stat.key async for stat in self._store.list(f"{prefix}/{customer}")]:
                await self._store.delete(key)
                count += prefix == dkim_keys.KEYS
        return Gone(_some({"DKIM keys": count}))


def _some(counts: Mapping[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in counts.items() if count}


async def _publish(bus: Bus, items: list[Any]) -> None:
    for start in range(0, len(items), BATCH):
        await bus.publish(items[start : start + BATCH])
