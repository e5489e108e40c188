"""One attempt at one branch of a message: object, header fields, relay, and what follows from the replies."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from schemas.events import Customer, Deferred, Disposition, Host, State
from services.core.changes import changed
from services.core.clock import Clock
from services.core.compose import compose
from services.core.direction import outbound
from services.core.errors import ObjectNotFound, Temporary
from services.core.headers import header_end
from services.core.stored import unpack
from services.delivery.budget import Budget
from services.delivery.config import DeliveryConfig
from services.delivery.decide import BCC, Concluded, Pace, Reply, Result, Stage, conclude, ended, expires_at, without
from services.delivery.gone import withdrawn
from services.delivery.hops import Hops, from_pool
from services.delivery.notices import Notices
from services.delivery.pool import Pool
from services.delivery.relay import Before, Relayed, relay
from services.delivery.session import Letter
from services.delivery.sign import Signs
from services.runtime.bus import Bus
from services.runtime.store import Store

log = logging.getLogger("gatepost.delivery")

IN_LOOP: Final = 262_144  # octets of a message that is made ready in the event loop; a larger one in a thread
CHANGED_IN_LOOP: Final = 32_768  # and of one whose body is changed, which takes a reading of its parts


@dataclasses.dataclass(frozen=True, slots=True)
class Attempted:
    """What follows, and what was learnt of the destination (None: nothing, as the message's object is gone)."""

    concluded: Concluded
    relayed: Relayed | None


class Attempts:
    """Makes attempts. Knows nothing of queues."""

    def __init__(  # noqa: PLR0913  # what an attempt needs of others
        self,
        config: DeliveryConfig,
        *,
        bus: Bus,
        store: Store,
        pool: Pool,
        hops: Hops,
        customer: Callable[[str], Customer | None],
        clock: Clock,
        chance: Callable[[], float],
        signs: Signs | None = None,
    ) -> None:
        self._signs = signs
        self.counts: Counter[str] = Counter()
        self._config = config
        self._bus = bus
        self._store = store
        self._pool = pool
        self._hops = hops
        self._clock = clock
        self._chance = chance
        self._pace = Pace(config.retry_first_seconds, config.retry_most_seconds)
        self._notices = Notices(
            config, store, lambda entry: expires_at(entry, customer(entry.disposition.received.customer))
        )
        self.budget = Budget(config.relay_memory_bytes)

    async def make(
        self, entry: Deferred, customer: Customer | None, hosts: tuple[Host, ...], purse: Budget, before: Before
    ) -> Attempted:
        """Try the entry's recipients once. Raises StoreUnavailable, ObjectCorrupt and BusUnavailable; SMTP failures are
        results.

        `purse` is the destination's own share of the memory; `before` is awaited once before the message goes out.
        """
        received = entry.disposition.received
        if hosts:
            try:
                async with purse.hold(received.size), self.budget.hold(received.size):
                    relayed = await self._relay(entry, customer, hosts, before)
            except ObjectNotFound:
                self.counts["object-gone"] += 1
                gone = await withdrawn(self._bus, entry, self._clock.now())
                what = "withdrawn" if gone.outcomes else "object-gone"
                log.warning("id=%s customer=%s event=%s", received.id, received.customer, what)
                return Attempted(gone, None)
        else:
            nowhere = Reply(0, f"no host is configured for {received.domain}", Stage.CONNECT)
            relayed = Relayed(dict.fromkeys(entry.recipients, Result(nowhere)), reached=False)
        concluding = partial(
            conclude,
            entry,
            relayed.results,
            now=self._clock.now(),
            chance=self._chance(),
            expires=expires_at(entry, customer),
            pace=self._pace,
        )
        try:
            concluded = await self._notices.with_bounce(entry, concluding())
        except Temporary as error:
            # Not raised: who has the message now would get it again.
            log.warning("id=%s event=bounce-put-off error=%s: %s", received.id, type(error).__name__, error)
            concluded = concluding(told=False)
        if relayed.removed:
            concluded = without(concluded, relayed.removed)
        return Attempted(concluded, relayed)

    async def end(self, entry: Deferred, state: State, reply: str) -> Concluded:
        """Return what follows when the message ends without a further attempt. Raises StoreUnavailable."""
        return await self._notices.with_bounce(entry, ended(entry, self._clock.now(), state, reply))

    async def warn(self, concluded: Concluded) -> Concluded:
        """Return the same with a warning to the sender that the message waits; without, while there is no store."""
        try:
            return await self._notices.with_warning(concluded, self._clock.now())
        except Temporary as error:
            log.warning("event=warning-put-off error=%s: %s", type(error).__name__, error)
            return concluded

    async def _relay(
        self, entry: Deferred, customer: Customer | None, hosts: tuple[Host, ...], before: Before
    ) -> Relayed:
        received = entry.disposition.received
        letter = await self._letter(entry, await self._store.get(received.key), customer)
        mine = customer.outbound.pool if customer is not None and outbound(received) else ""
        hosts = from_pool(hosts, self._config.sources(mine))
        relayed = await relay(letter, received.customer, hosts, self._pool, self._hops, before)
        relayed = dataclasses.replace(relayed, removed=letter.removed)
        redirect = entry.disposition.branches[entry.branch].redirect_to
        if not redirect:
            return relayed
        return dataclasses.replace(relayed, results=dict.fromkeys(entry.recipients, relayed.results[redirect]))

    async def _letter(self, entry: Deferred, stored: bytes, customer: Customer | None) -> Letter:
        make = partial(letter_of, entry, stored, self._config.hostname, customer, self._clock.now())
        letter = await asyncio.to_thread(make) if len(stored) > in_loop(entry.disposition, customer) else make()
        if self._signs is None:
            return letter
        return await self._signs(entry.disposition, entry.disposition.branches[entry.branch], letter)


def in_loop(disposition: Disposition, customer: Customer | None) -> int:
    """Return the octets of a message that is made ready in the event loop."""
    texts = any(branch.strip or branch.stamp for branch in disposition.branches)
    more = customer is not None and (customer.outbound.disclaimer.text or customer.lapses_at)
    return CHANGED_IN_LOOP if texts or more else IN_LOOP


def letter_of(
    entry: Deferred, stored: bytes, hostname: str, customer: Customer | None = None, now: float = 0.0
) -> Letter:
    """Return what goes to the recipients at `now`; raise ObjectCorrupt when what is stored isn't ours."""
    disposition = entry.disposition
    branch = disposition.branches[entry.branch]
    done = changed(unpack(stored)[1], disposition, branch, customer, now)
    message = done.message
    # A notification begins here: it has no way behind it that a field of ours could tell of. A copy has told already.
    own = bool(disposition.received.bounce_of) or disposition.received.own == BCC
    parts = [message] if own else compose(disposition, branch, message, hostname=hostname, notice=done.notice)
    envelope = disposition.received.envelope
    head = bytes(message[: header_end(message)]) if envelope.smtputf8 else b""
    return Letter(
        reverse_path=envelope.reverse_path,
        recipients=(branch.redirect_to,) if branch.redirect_to else entry.recipients,
        parts=parts,
        size=sum(map(len, parts)),
        eight_bit=any(not _ascii(part) for part in parts),
        utf8_header=not head.isascii(),
        removed=done.removed,
    )


def _ascii(part: bytes | memoryview) -> bool:
    view = memoryview(part)
    return all(bytes(view[start : start + IN_LOOP]).isascii() for start in range(0, len(view), IN_LOOP))
