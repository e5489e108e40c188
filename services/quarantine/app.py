"""The quarantine service: holds what policy says, and ends each hold by a release, a deletion or its time.

It reads mail.dispositions.v1 and quarantine.commands.v1. The index is written first and the events follow: a crash in
between brings the record back, and the index answers it with the same events.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence

from schemas.events import Action, Customer, Disposition, Event, QuarantineCommand, Received
from services.core.clock import Clock
from services.core.errors import BusUnavailable, DatabaseUnavailable, ObjectCorrupt, ObjectNotFound, UnreadableEvent
from services.core.heading import printable, subject_of
from services.core.ids import is_message_id, message_id
from services.core.stored import unpack
from services.core.waiting import happens
from services.quarantine.config import QuarantineConfig
from services.quarantine.decide import DAYS_MOST, TEXT_MOST, events, holds
from services.quarantine.index import Index
from services.runtime.bus import Bus, Record, Stateless, Tombstone
from services.runtime.store import Store

log = logging.getLogger("gatepost.quarantine")


class Quarantine(Stateless):
    """Driven by the consume loop; `expire` is its own task and belongs to whoever runs both."""

    def __init__(  # its ports
        self,
        config: QuarantineConfig,
        index: Index,
        store: Store,
        bus: Bus,
        customer: Callable[[str], Customer | None],
        clock: Clock,
    ) -> None:
        self._config = config
        self._index = index
        self._store = store
        self._bus = bus
        self._customer = customer
        self._clock = clock

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """Return the Disposition or the Outcomes that follow; raises DatabaseUnavailable or StoreUnavailable."""
        match record.event:
            case Disposition() as disposition:
                return await self._hold(disposition)
            case QuarantineCommand() as command:
                return await self._carry_out(command)
            case other:
                raise TypeError(f"the quarantine does not read {type(other).__name__}")

    async def _hold(self, disposition: Disposition) -> Sequence[Event]:
        received = disposition.received
        others = [r for b in disposition.branches if b.action is not Action.QUARANTINE for r in b.recipients]
        if received.recovered and others and not disposition.release:
            # Published again and decided otherwise: a hold from before would give these a second outcome.
            await self._index.forget(received.id, others)
        if all(branch.action is not Action.QUARANTINE for branch in disposition.branches):
            return ()
        subject = await self._subject(received)
        if subject is None:
            log.warning("id=%s customer=%s event=not-held reason=object-gone", received.id, received.customer)
            return ()
        customer = self._customer(received.customer)
        days = DAYS_MOST if customer is None else customer.quarantine_days
        held = holds(disposition, subject, self._clock.now(), days)
        new = await self._index.hold(held, disposition)
        log.info("id=%s customer=%s event=held recipients=%d", received.id, received.customer, new)
        if not received.recovered or new == len(held):
            return ()
        # The store still has it and the log may have lost how its hold ended: say it once more.
        return events(await self._index.ended(received.id, [row.recipient for row in held]))

    async def _subject(self, received: Received) -> str | None:
        """Return the subject, None when the message has ended meanwhile."""
        try:
            _, message = unpack(await self._store.get(received.key))
        except ObjectNotFound:
            return None
        except ObjectCorrupt as error:  # held all the same: dropping it would lose a message that was accepted
            log.error("id=%s customer=%s event=object-corrupt error=%s", received.id, received.customer, error)
            return ""
        return subject_of(message)

    async def _carry_out(self, command: QuarantineCommand) -> Sequence[Event]:
        if not is_message_id(command.id) or not command.command_id.isprintable():
            raise UnreadableEvent("a command without the ids that commands have")
        ended = await self._index.end(command, printable(command.by, TEXT_MOST), self._clock.now())
        log.info(
            "id=%s customer=%s event=%s command=%s recipients=%d",
            command.id,
            command.customer,
            command.action.value if ended.rows else "nothing-to-do",
            command.command_id,
            len(ended.rows),
        )
        return events(ended)

    async def expire(self, stop: asyncio.Event) -> None:
        """End every hold when its time is up, until `stop` is set. What can't be done now is done at a later look."""
        while not stop.is_set():
            try:
                await self.sweep()
            except (BusUnavailable, DatabaseUnavailable) as error:
                log.warning("event=expiry-put-off error=%s", error)
            await happens(stop, self._config.sweep_seconds)

    async def sweep(self) -> int:
        """Publish the outcome of every hold whose time is up, and return how many rows that were.

        A row is claimed before its outcome is published, so no release can come between; one that a crash leaves
        claimed is taken up again by a later sweep, and only then may its outcome be published twice.
        """
        count = 0
        while True:
            sweep = message_id(self._clock.now(), os.urandom)
            ended = await self._index.claim_expired(sweep, self._clock.now(), self._config.sweep_limit)
            if not ended.rows:
                break
            await self._bus.publish(events(ended))
            await self._index.expired(sweep)
            count += len(ended.rows)
            for row in ended.rows:
                log.info("id=%s customer=%s event=expired held_at=%.0f", row.id, row.customer, row.held_at)
        if purged := await self._index.purge(self._clock.now()):
            log.info("event=purged rows=%d", purged)
        return count
