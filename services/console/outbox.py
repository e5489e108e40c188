"""From the outbox to the topics and the mail path: in order, at least once, by one process at a time.

A lease says whose turn it is. Who takes it over compares the topics with the database, once nothing waits, and
publishes what differs; and does so once more when whatever the one before had under way has landed or died: then
nothing that is older can stand behind something newer. The same comparison heals topics that were lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import Row, delete, select, update

from schemas import wire
from schemas.catalog import BY_NAME, CUSTOMERS, RECIPIENTS
from schemas.events import Customer, Event, Recipient
from services.console.book import MAIL, TOPICS, Book, MailOrder, wanted
from services.console.tables import LEASES, OUTBOX
from services.core.directory import FILE
from services.core.errors import BusUnavailable, DatabaseUnavailable, Permanent, StoreUnavailable
from services.core.waiting import happens
from services.runtime.bus import Bus, Tombstone
from services.runtime.customers_plan import CONSOLE
from services.runtime.latest import latest

log = logging.getLogger("gatepost.console")

BATCH: Final = 500  # records published together
LEASE: Final = 30.0  # seconds
LOOK: Final = 5.0  # seconds between looks when nothing of our own was written: another process may have
SETTLED: Final = 60.0  # seconds after which nothing that another process had under way can still land
NAME: Final = "outbox"


class Post(Protocol):
    """Writes and sends a mail."""

    async def send(self, order: MailOrder) -> None:
        """Return when the mail path has it. The same order may be sent twice when a crash comes in between.

        Raises Temporary when it can't be had now, Permanent when the mail can never be sent.
        """
        ...


class Outbox:
    """Empties the outbox."""

    def __init__(self, book: Book, bus: Bus, post: Post, holder: str = "") -> None:
        self._book = book
        self._bus = bus
        self._post = post
        self._holder = holder or os.urandom(8).hex()
        self._until = 0.0  # of the lease, by the monotonic clock
        self._compare_at: list[float] = []  # when the topics are compared next

    async def run(self, stop: asyncio.Event) -> None:
        """Publish what is written, until `stop`; what can't be had is waited for."""
        while not stop.is_set():
            self._book.changed.clear()
            try:
                busy = await self.turn()
            except (BusUnavailable, DatabaseUnavailable, StoreUnavailable) as error:
                log.warning("event=outbox-waits error=%s", error)
                await happens(stop, 1.0)
                continue
            if not busy:
                await _first(stop, self._book.changed, LOOK)

    async def turn(self) -> bool:
        """Do what there is to do, when it is our turn; return whether there may be more at once."""
        now = self._book.clock.monotonic()
        if not await self._leased():
            return False
        published = await self._lane(TOPICS, self._publish)
        if not published and self._compare_at and self._compare_at[0] <= now:
            await self.compare()
            self._compare_at.pop(0)
        mailed = await self._lane(MAIL, self._mail)
        return published or mailed

    async def compare(self) -> int:
        """Publish what the topics hold otherwise than the database; return how much that was."""
        async with self._book.reading() as connection:
            want = await wanted(connection)
        have = await self._have()
        changes: list[Event | Tombstone] = [event for place, event in want.items() if have.get(place) != event]
        changes += [Tombstone(BY_NAME[topic], key) for topic, key in have if (topic, key) not in want]
        for start in range(0, len(changes), BATCH):
            await self._bus.publish(changes[start : start + BATCH])
        if changes:
            log.warning("event=topics-healed records=%d", len(changes))
        return len(changes)

    async def _have(self) -> dict[tuple[str, str], Event]:
        """Return what the topics hold of the console's, by topic and key."""
        customers = await latest(self._bus, CUSTOMERS, Customer)
        own = {key for key, customer in customers.items() if customer.origin == CONSOLE}
        found: dict[tuple[str, str], Event] = {(CUSTOMERS.name, key): customers[key] for key in own}
        for key, recipient in (await latest(self._bus, RECIPIENTS, Recipient)).items():
            if recipient.customer in own and recipient.source == FILE:
                found[RECIPIENTS.name, key] = recipient
        return found

    async def _lane(self, lane: str, deal: Callable[[list[Row[Any]]], Awaitable[None]]) -> bool:
        due = select(OUTBOX).where(OUTBOX.c.lane == lane).order_by(OUTBOX.c.id).limit(BATCH if lane == TOPICS else 1)
        async with self._book.reading() as connection:
            rows = list((await connection.execute(due)).all())
        if not rows:
            return False
        await deal(rows)
        async with self._book.database.writing() as connection:
            await connection.execute(delete(OUTBOX).where(OUTBOX.c.id.in_([row.id for row in rows])))
        return True

    async def _publish(self, rows: list[Row[Any]]) -> None:
        items: list[Event | Tombstone] = []
        for row in rows:
            topic = BY_NAME[row.topic]
            items.append(wire.decode(row.payload.encode(), topic.struct) if row.payload else Tombstone(topic, row.key))
        await self._bus.publish(items)
        log.info("event=published records=%d", len(items))

    async def _mail(self, rows: list[Row[Any]]) -> None:
        for row in rows:
            order = msgspec.json.decode(row.payload, type=MailOrder)
            try:
                await self._post.send(order)
            except Permanent as error:
                log.error("account=%s event=mail-dropped kind=%s error=%s", order.account, order.kind, error)

    async def _leased(self) -> bool:
        """Return whether it is our turn, and make it ours for longer when it is nobody's."""
        clock = self._book.clock
        if clock.monotonic() < self._until - LEASE / 2:
            return True
        now = clock.now()
        mine = (LEASES.c.name == NAME, LEASES.c.holder == self._holder)
        async with self._book.database.writing() as connection:
            row = (await connection.execute(select(LEASES).where(LEASES.c.name == NAME))).first()
            if row is None:
                nobody = self._book.database.insert(LEASES).values(name=NAME, holder="", until=0.0)
                await connection.execute(nobody.on_conflict_do_nothing())  # another process may do the same now
            elif row.holder != self._holder and now < row.until:
                self._until = 0.0
                return False
            elif row.holder == self._holder:
                await connection.execute(update(LEASES).where(*mine).values(until=now + LEASE))
                self._until = clock.monotonic() + LEASE
                return True
            before = "" if row is None else row.holder
            taken = await connection.execute(
                update(LEASES)
                .where(LEASES.c.name == NAME, LEASES.c.holder == before)
                .values(holder=self._holder, until=now + LEASE)
            )
        if not taken.rowcount:
            return False
        self._until = clock.monotonic() + LEASE
        self._compare_at = [clock.monotonic()]
        if before:
            self._compare_at.append(clock.monotonic() + SETTLED)
        return True

    async def release(self) -> None:
        """Let another process have its turn at once."""
        self._until = 0.0
        async with self._book.database.writing() as connection:
            mine = (LEASES.c.name == NAME, LEASES.c.holder == self._holder)
            await connection.execute(update(LEASES).where(*mine).values(holder="", until=0.0))


async def _first(one: asyncio.Event, other: asyncio.Event, within: float) -> None:
    """Return when one of the two is set, or after `within` seconds."""
    tasks = [asyncio.ensure_future(one.wait()), asyncio.ensure_future(other.wait())]
    try:
        await asyncio.wait(tasks, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
