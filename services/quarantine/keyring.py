"""The customers' keys: made when first needed, kept wrapped, and destroyed for good.

They lie in the database, and a copy in the store, so that a database that is lost takes no mail with it. Destroying a
key takes both away: what it encrypted is noise from then on, wherever a copy of it may be. One under which nothing is
held any more is destroyed as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy import and_, delete, exists, insert, or_, select, update

from services.core.clock import Clock
from services.core.errors import KeyDestroyed, ObjectNotFound
from services.core.ids import is_message_id, message_id
from services.core.sealed import KEYS
from services.core.wrapping import KEY, unwrap, wrap
from services.quarantine.tables import CUSTOMER_KEYS, HELD
from services.runtime.database import Database
from services.runtime.store import Store

FRESH: Final = 30.0  # seconds for which a key that was looked up is used: a destroyed one opens nothing after that
RESUME: Final = 600.0  # seconds after which a destruction that was begun is somebody else's to end


class Keyring:
    """Every method raises DatabaseUnavailable or StoreUnavailable when what it needs can't be had."""

    def __init__(
        self, database: Database, store: Store, wrapping: bytes, clock: Clock, entropy: Callable[[int], bytes]
    ) -> None:
        self._database = database
        self._store = store
        self._wrapping = wrapping
        self._clock = clock
        self._entropy = entropy
        self._known: dict[tuple[str, str], tuple[float, bytes]] = {}
        self._current: dict[str, tuple[float, str]] = {}

    async def current(self, customer: str) -> tuple[str, bytes]:
        """Return the id of the key that new mail of the customer is encrypted with, and the key; made if need be."""
        now = self._clock.monotonic()
        at, identity = self._current.get(customer, (-FRESH, ""))
        if now - at >= FRESH:
            identity = await self._newest(customer) or await self._make(customer)
            self._current[customer] = (now, identity)
        return identity, await self.get(customer, identity)

    async def get(self, customer: str, identity: str) -> bytes:
        """Return one key; raise KeyDestroyed when it is gone."""
        now = self._clock.monotonic()
        at, key = self._known.get((customer, identity), (-FRESH, b""))
        if now - at >= FRESH:
            key = unwrap(self._wrapping, await self._wrapped(customer, identity), _about(customer, identity))
            self._known[customer, identity] = (now, key)
        return key

    async def destroy(self, customer: str) -> int:
        """Destroy every key that the customer has, and return how many that were."""
        keys = [stat.key async for stat in self._store.list(f"{KEYS}/{customer}")]
        for key in keys:
            await self._store.delete(key)
        mine = (CUSTOMER_KEYS.c.customer == customer, CUSTOMER_KEYS.c.wrapped != b"")
        async with self._database.writing() as connection:
            gone = await connection.execute(
                update(CUSTOMER_KEYS).where(*mine).values(wrapped=b"", destroyed_at=self._clock.now())
            )
        self._forget()
        return max(gone.rowcount, len(keys))

    async def lasts(self, customer: str, identity: str) -> bool:
        """Return whether what was just stored under the key can be opened later: nobody is destroying it."""
        mine = (CUSTOMER_KEYS.c.customer == customer, CUSTOMER_KEYS.c.id == identity)
        async with self._database.reading() as connection:
            since = await connection.scalar(select(CUSTOMER_KEYS.c.destroyed_at).where(*mine))
        if since is None:  # a database that is new, or a key that is gone
            try:
                await self._store.get(_place(customer, identity))
            except ObjectNotFound:
                since = 1.0
        if since:
            self._forget()
        return not since

    async def idle(self) -> list[str]:
        """Return the customers who have keys and for whom, by the index, nothing is held."""
        held = exists().where(HELD.c.customer == CUSTOMER_KEYS.c.customer, HELD.c.waits == 1)
        wanted = select(CUSTOMER_KEYS.c.customer).where(CUSTOMER_KEYS.c.wrapped != b"", ~held).distinct()
        async with self._database.reading() as connection:
            return list(await connection.scalars(wanted))

    async def discard(self, customer: str, needed: Callable[[], Awaitable[bool]]) -> int:
        """Destroy the customer's keys if none is `needed`, and return how many those were.

        They are marked before that is asked. Who seals meanwhile stores first and then asks whether his key `lasts`: so
        either he is seen here, or he sees the mark and seals again with another key.
        """
        mark, mine = self._clock.now(), CUSTOMER_KEYS.c.customer == customer
        since = CUSTOMER_KEYS.c.destroyed_at
        free = and_(mine, CUSTOMER_KEYS.c.wrapped != b"", or_(since == 0, since < mark - RESUME))
        marked = and_(mine, since == mark)
        async with self._database.writing() as connection:
            await connection.execute(update(CUSTOMER_KEYS).where(free).values(destroyed_at=mark))
            keys = list(await connection.scalars(select(CUSTOMER_KEYS.c.id).where(marked)))
        if not keys:
            return 0
        if await needed():
            async with self._database.writing() as connection:
                await connection.execute(update(CUSTOMER_KEYS).where(marked).values(destroyed_at=0.0))
            return 0
        for identity in keys:
            await self._store.delete(_place(customer, identity))
        async with self._database.writing() as connection:
            await connection.execute(delete(CUSTOMER_KEYS).where(marked))
        self._forget()
        return len(keys)

    def _forget(self) -> None:
        self._known.clear()
        self._current.clear()

    async def restore(self) -> int:
        """Take back into the database what only the store has, and return how many keys that were."""
        count = 0
        async for stat in self._store.list(KEYS):
            _, customer, identity = stat.key.split("/")
            if is_message_id(identity) and await self._row(customer, identity) is None:
                await self._keep(customer, identity, await self._store.get(stat.key))
                count += 1
        return count

    async def _newest(self, customer: str) -> str | None:
        mine = (CUSTOMER_KEYS.c.customer == customer, CUSTOMER_KEYS.c.destroyed_at == 0)
        newest = select(CUSTOMER_KEYS.c.id).where(*mine).order_by(CUSTOMER_KEYS.c.id.desc()).limit(1)
        async with self._database.reading() as connection:
            found: str | None = await connection.scalar(newest)
        return found

    async def _make(self, customer: str) -> str:
        """Two processes may make one each: both stay, and what either encrypted can be opened."""
        identity = message_id(self._clock.now(), self._entropy)
        wrapped = wrap(self._wrapping, self._entropy(KEY), _about(customer, identity), self._entropy)
        await self._store.put(_place(customer, identity), [wrapped])  # before anything is encrypted with it
        await self._keep(customer, identity, wrapped)
        return identity

    async def _keep(self, customer: str, identity: str, wrapped: bytes) -> None:
        row = {
            "customer": customer,
            "id": identity,
            "wrapped": wrapped,
            "made_at": self._clock.now(),
            "destroyed_at": 0.0,
        }
        async with self._database.writing() as connection:
            await connection.execute(insert(CUSTOMER_KEYS), [row])

    async def _wrapped(self, customer: str, identity: str) -> bytes:
        row = await self._row(customer, identity)
        if row is None:  # a database that is new, and was not rebuilt yet
            try:
                return await self._store.get(_place(customer, identity))
            except ObjectNotFound as error:
                raise KeyDestroyed(f"customer {customer} has no key {identity}") from error
        if not row:
            raise KeyDestroyed(f"key {identity} of customer {customer} was destroyed")
        return row

    async def _row(self, customer: str, identity: str) -> bytes | None:
        mine = (CUSTOMER_KEYS.c.customer == customer, CUSTOMER_KEYS.c.id == identity)
        async with self._database.reading() as connection:
            found: bytes | None = await connection.scalar(select(CUSTOMER_KEYS.c.wrapped).where(*mine))
        return found


def _place(customer: str, identity: str) -> str:
    return f"{KEYS}/{customer}/{identity}"


def _about(customer: str, identity: str) -> str:
    return f"{customer}/{identity}"
