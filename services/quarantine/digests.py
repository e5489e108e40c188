"""Sends the digests. A recipient's digest of a window is noted before it is sent: it may be lost, never come twice.

What a lost digest should have said stands in no later one; the message is still held, and its page still there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Final

from sqlalchemy import and_, exists, func, insert, or_, select

from schemas.events import Customer, DigestPlan
from services.core.address import parse
from services.core.clock import Clock
from services.core.directory import Directory
from services.core.errors import BadAddress, BusUnavailable, DatabaseUnavailable, StoreUnavailable
from services.core.waiting import happens
from services.quarantine.config import QuarantineConfig
from services.quarantine.decide import DAY, Held
from services.quarantine.digest import ITEMS_MOST, Due, compose, digest_id, place_of, window_of
from services.quarantine.index import fetch, rows_of
from services.quarantine.links import Link, sign
from services.quarantine.tables import DIGESTS, HELD, MESSAGES, PREFERENCES, State
from services.runtime.bus import Bus
from services.runtime.database import Database
from services.runtime.own_mail import own_mail, put_own
from services.runtime.store import Store

log = logging.getLogger("gatepost.digest")

EVERY: Final = 30.0  # seconds between looks
DIGEST: Final = "digest"
# What goes out is for the administrator to release: its recipients are strangers, and no digest goes to them. The event
# is JSON without blanks, so no text that somebody wrote can look like the field.
_OF: Final = MESSAGES.alias("of")
_GOES_OUT: Final = (
    exists()
    .where(_OF.c.id == HELD.c.id, _OF.c.disposition.contains('"direction":"outbound"', autoescape=True))
    .correlate(HELD)
)
_SHOWN: Final = and_(HELD.c.state.in_((State.HELD, State.STOPPED)), ~_GOES_OUT)


class Digests:
    """Looks, notes, sends."""

    def __init__(
        self,
        config: QuarantineConfig,
        database: Database,
        store: Store,
        bus: Bus,
        directory: Directory,
        clock: Clock,
        key: bytes,
    ) -> None:
        self._config = config
        self._database = database
        self._store = store
        self._bus = bus
        self._directory = directory
        self._clock = clock
        self._key = key

    async def run(self, stop: asyncio.Event) -> None:
        """Send what is due, until `stop` is set."""
        while not await happens(stop, min(EVERY, self._config.sweep_seconds)):
            try:
                await self.send_due()
            except (BusUnavailable, DatabaseUnavailable, StoreUnavailable) as error:
                log.warning("event=digests-put-off error=%s", error)

    async def send_due(self) -> int:
        """Send up to `digest_limit` digests that are due now, and return how many those were."""
        if not self._config.pages_url:
            return 0
        now, count = self._clock.now(), 0
        for customer in self._directory.customers():
            window = window_of(customer.digest, now)
            if window is None:
                continue
            for due in await self._due(customer, window, self._config.digest_limit - count):
                count += await self._send(customer, due, now)
            if count >= self._config.digest_limit:
                break
        return count

    async def _due(self, of: Customer, window: float, limit: int) -> list[Due]:
        """Return who has something new and wants to hear of it at this hour; the others hear of it at theirs."""
        customer, name = of.id, func.lower(HELD.c.recipient)
        hour, day = place_of(of.digest, window)
        other_time = (
            exists()
            .where(
                PREFERENCES.c.customer == customer,
                PREFERENCES.c.recipient == name,
                or_(
                    and_(PREFERENCES.c.hours != 0, PREFERENCES.c.hours.bitwise_and(hour) == 0),
                    and_(PREFERENCES.c.days != 0, PREFERENCES.c.days.bitwise_and(day) == 0),
                ),
            )
            .correlate(HELD)
        )
        last = (
            select(DIGESTS.c.recipient, func.max(DIGESTS.c.until).label("until"), func.max(DIGESTS.c.window).label("w"))
            .where(DIGESTS.c.customer == customer)
            .group_by(DIGESTS.c.recipient)
            .subquery()
        )
        since = func.coalesce(last.c.until, 0.0)
        wanted = (
            select(name, since, func.count())
            .select_from(HELD.outerjoin(last, last.c.recipient == name))
            .where(HELD.c.customer == customer, HELD.c.waits == 1, _SHOWN, HELD.c.held_at > since)
            .where(func.coalesce(last.c.w, 0.0) < window, ~other_time)
            .group_by(name, since)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            found = (await connection.execute(wanted)).all()
        return [Due(customer, recipient, window, float(from_), int(many)) for recipient, from_, many in found]

    async def _send(self, customer: Customer, due: Due, now: float) -> int:
        language, wanted = await self.preference(customer, due.recipient)
        identity = digest_id(self._key, due)
        rows = await self._items(due, now)
        if not await self._note(due, identity, now, len(rows)) or not wanted or not rows:
            return 0
        text = compose(
            due,
            rows,
            language=language,
            plan=customer.digest,
            link=lambda row: self._link(row, due.recipient, now),
            hostname=self._config.hostname,
        )
        try:
            received = own_mail(
                identity=identity,
                customer=customer.id,
                recipient=due.recipient,
                message=text,
                own=DIGEST,
                now=now,
                hostname=self._config.hostname,
            )
        except BadAddress:  # a row that no address of ours made
            return 0
        await self._bus.publish([await put_own(self._store, received, text)])
        log.info("id=%s customer=%s event=digest items=%d", identity, customer.id, len(rows))
        return 1

    def _link(self, row: Held, recipient: str, now: float) -> str:
        until = min(row.expires_at, now + self._config.link_days * DAY)
        token = sign(self._key, Link(row.customer, row.id, recipient, until))
        return f"{self._config.pages_url.rstrip('/')}/held/{token}"

    async def _items(self, due: Due, now: float) -> list[Held]:
        mine = and_(
            HELD.c.customer == due.customer,
            func.lower(HELD.c.recipient) == due.recipient,
            HELD.c.waits == 1,
            _SHOWN,
            HELD.c.held_at > due.since,
            HELD.c.held_at <= now,
        )
        async with self._database.reading() as connection:
            return await fetch(connection, rows_of().where(mine).order_by(HELD.c.id.desc()).limit(ITEMS_MOST))

    async def _note(self, due: Due, identity: str, now: float, items: int) -> bool:
        """Return whether this digest is ours to send: noted now, by us, and durably."""
        row = {
            "customer": due.customer,
            "recipient": due.recipient,
            "window": due.window,
            "message": identity,
            "until": now,
            "items": items,
        }
        mine = (
            DIGESTS.c.customer == due.customer,
            DIGESTS.c.recipient == due.recipient,
            DIGESTS.c.window == due.window,
        )
        async with self._database.writing() as connection:
            if await connection.scalar(select(DIGESTS.c.message).where(*mine)) is not None:
                return False
            await connection.execute(insert(DIGESTS), [row])
        return True

    async def preference(self, customer: Customer, recipient: str) -> tuple[str, bool]:
        """Return the recipient's language and whether he wants digests."""
        return await preference(self._database, customer.id, customer.digest, recipient)


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What a recipient chose; `hours` and `days` are bits, none: all."""

    language: str
    wanted: bool
    hours: int = 0
    days: int = 0


async def chosen_by(database: Database, customer: str, plan: DigestPlan, recipient: str) -> Choice:
    """Return what a recipient chose for his digests: his own choice before his organisation's."""
    try:
        name = parse(recipient).canonical
    except BadAddress:
        return Choice(plan.language, wanted=False)
    mine = (PREFERENCES.c.customer == customer, PREFERENCES.c.recipient == name)
    async with database.reading() as connection:
        row = (await connection.execute(select(PREFERENCES).where(*mine))).first()
    if row is None:
        return Choice(plan.language, wanted=True)
    return Choice(row.language or plan.language, bool(row.digest), row.hours, row.days)


async def preference(database: Database, customer: str, plan: DigestPlan, recipient: str) -> tuple[str, bool]:
    """Return a recipient's language and whether he wants digests."""
    choice = await chosen_by(database, customer, plan, recipient)
    return choice.language, choice.wanted
