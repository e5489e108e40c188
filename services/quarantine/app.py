"""The quarantine service: holds what policy says, and ends each hold by a release, a deletion or its time.

It reads mail.dispositions.v1, quarantine.commands.v1, quarantine.rechecks.v1 and mail.outcomes.v1. A held message is
sealed first, then the index is written, and the events follow: a crash in between brings the record back, and each step
finds its own work done. The plain object is the reaper's to delete, and only after `Moved` says that a sealed one is
durable.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence

import msgspec

from schemas.catalog import HOLDS
from schemas.events import (
    Act,
    Action,
    Command,
    Customer,
    Disposition,
    Event,
    Exemption,
    Moved,
    Outcome,
    QuarantineCommand,
    QuarantineRequest,
    Received,
    Rechecked,
    Rescan,
    Status,
)
from services.core.clock import Clock
from services.core.errors import (
    BusUnavailable,
    DatabaseUnavailable,
    KeyDestroyed,
    ObjectCorrupt,
    ObjectNotFound,
    StoreUnavailable,
    UnreadableEvent,
)
from services.core.exemption import exempt, policy_version
from services.core.heading import printable
from services.core.ids import is_message_id, message_id
from services.core.sealed import is_quarantines, released_key
from services.core.stored import unpack
from services.core.waiting import happens
from services.quarantine.config import QuarantineConfig
from services.quarantine.copies import Copies
from services.quarantine.decide import (
    DAY,
    DAYS_MOST,
    TEXT_MOST,
    Ended,
    Held,
    Shown,
    events,
    holds,
    shown_of,
)
from services.quarantine.index import Index
from services.quarantine.master import Secrets
from services.quarantine.tables import State
from services.quarantine.vault import Vault
from services.runtime.bus import Bus, Record, Stateless, Tombstone
from services.runtime.store import Store

log = logging.getLogger("gatepost.quarantine")

SCANNER = "virus"  # the one layer that looks at a released message again
NOTHING = "nothing-to-do"
UNREADABLE = (ObjectNotFound, ObjectCorrupt, KeyDestroyed)


class Quarantine(Stateless):
    """Driven by the consume loop; `expire` is its own task and belongs to whoever runs both."""

    def __init__(  # noqa: PLR0913  # its ports
        self,
        config: QuarantineConfig,
        index: Index,
        store: Store,
        bus: Bus,
        customer: Callable[[str], Customer | None],
        clock: Clock,
        *,
        vault: Vault,
        secrets: Secrets,
        plan: Callable[[], tuple[str, ...]],
    ) -> None:
        self._config = config
        self._index = index
        self._store = store
        self._bus = bus
        self._customer = customer
        self._clock = clock
        self._vault = vault
        self._secrets = secrets
        self._plan = plan
        self._copies = Copies(config, store, vault, clock)

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """Return the events that follow; raises DatabaseUnavailable or StoreUnavailable."""
        match record.event:
            case Disposition() as disposition:
                return await self._hold(disposition)
            case QuarantineCommand() as command:
                return await self._carry_out(command)
            case QuarantineRequest() as request:
                return await self._answer(request)
            case Rechecked() as rechecked:
                return await self._rechecked(rechecked)
            case Outcome() as outcome:
                return await self._settle(outcome) if is_quarantines(outcome.key) else ()
            case other:
                raise TypeError(f"the quarantine does not read {type(other).__name__}")

    # --- holding

    async def _hold(self, disposition: Disposition) -> Sequence[Event]:
        received = disposition.received
        others = [r for b in disposition.branches if b.action is not Action.QUARANTINE for r in b.recipients]
        if received.recovered and others and not disposition.release:
            # Published again and decided otherwise: a hold from before would give these a second outcome.
            await self._index.forget(received.id, others)
        wanted = {r for b in disposition.branches if b.action is Action.QUARANTINE for r in b.recipients}
        if not wanted:
            return ()
        known = {row.recipient: row for row in await self._index.get(received.id)}
        if wanted <= known.keys():
            return await self._once_more(received, [known[name] for name in sorted(wanted)])
        found = await self._take(disposition)
        if found is None:
            log.warning("id=%s customer=%s event=not-held reason=object-gone", received.id, received.customer)
            return ()
        held = found
        new = await self._index.hold(held, disposition)
        log.info("id=%s customer=%s event=held recipients=%d", received.id, received.customer, new)
        return await self._once_more(received, held)

    async def _take(self, disposition: Disposition) -> list[Held] | None:
        """Seal the message and return the rows that hold it, None when it has ended meanwhile."""
        received, now = disposition.received, self._clock.now()
        customer = self._customer(received.customer)
        days = min(DAYS_MOST if customer is None else customer.quarantine_days, DAYS_MOST)
        policy = policy_version(customer or Customer(id=received.customer))
        try:
            message = await self._plain(received)
            if message is None:
                return None
            place = await self._vault.seal(disposition, message, now, now + days * DAY)
        except ObjectCorrupt as error:  # held all the same: dropping it would lose a message that was accepted
            log.error("id=%s customer=%s event=object-corrupt error=%s", received.id, received.customer, error)
            return holds(disposition, Shown(), now, days, policy=policy)
        return holds(disposition, shown_of(message), now, days, key=place, policy=policy)

    async def _plain(self, received: Received) -> bytes | memoryview | None:
        """Return the message, from its sealed object once the plain one is gone; None when there is neither."""
        try:
            return unpack(await self._store.get(received.key))[1]
        except ObjectNotFound:
            pass
        try:
            return await self._vault.open(received.customer, received.id)
        except ObjectNotFound:
            return None

    async def _once_more(self, received: Received, held: Sequence[Held]) -> Sequence[Event]:
        """Say that these are here, and, for a message that comes from the store, how those ended that are not."""
        moved = tuple(row.recipient for row in held if is_quarantines(row.key))
        said: list[Event] = []
        if moved:
            said.append(
                Moved(
                    id=received.id,
                    customer=received.customer,
                    key=received.key,
                    sealed=held[0].key,
                    recipients=moved,
                    total=len(set(received.envelope.recipients)),
                    at=held[0].held_at,
                    expires_at=held[0].expires_at,
                )
            )
        if received.recovered:
            # The store still has it and the log may have lost how its hold ended: say it once more.
            ended = await self._index.ended(received.id, [row.recipient for row in held])
            said += await self._let_go(ended)
        return [*said, *await self._snapshot(received.id)]

    async def _snapshot(self, message: str) -> list[Event]:
        hold = await self._index.snapshot(message)
        return [] if hold is None else [hold]

    # --- commands

    async def _carry_out(self, command: QuarantineCommand) -> Sequence[Event]:
        if not is_message_id(command.id) or not command.command_id or not command.command_id.isprintable():
            raise UnreadableEvent("a command without the ids that commands have")
        by, now = printable(command.by, TEXT_MOST), self._clock.now()
        count = 0
        made: Sequence[Event] = ()
        match command.action:
            case Command.RELEASE:
                begun = await self._index.begin(command, by, now)
                made, count = await self._check(begun, command.command_id), len(begun.rows)
            case Command.DELETE:
                ended = await self._index.end(command, by, now)
                made, count = events(ended), len(ended.rows)
        _log(command, command.action if count else NOTHING, command.command_id, count)
        return [*made, *await self._snapshot(command.id)] if count else ()

    async def _answer(self, request: QuarantineRequest) -> Sequence[Event]:
        if not is_message_id(request.id) or not request.request_id or not request.request_id.isprintable():
            raise UnreadableEvent("a request without the ids that requests have")
        made: Sequence[Event] = ()
        match request.act:
            case Act.RELEASE_TO:
                made = await self._copies.send(request, await self._index.get(request.id, request.customer))
                count = len(made)
            case Act.REPORT_CLEAN | Act.REPORT_SPAM:
                count = await self._index.report(request)
            case Act.RAISE:
                status = request.status or Status.VIRUS
                count = await self._index.make_worse(request.id, request.customer, status, request.note)
        _log(request, request.act if count else NOTHING, request.request_id, count)
        return [*made, *await self._snapshot(request.id)] if count else ()

    async def _check(self, begun: Ended, command: str) -> Sequence[Event]:
        """Ask the virus scanner about what is under way; what it has passed before is let go at once."""
        under_way = [row for row in begun.rows if row.state is State.RELEASING]
        if not under_way:
            return await self._let_go(begun)
        first = under_way[0]
        disposition = await self._index.disposition(first.id)
        if disposition is None:
            return ()
        key = first.key
        if is_quarantines(first.key):
            try:
                key = await self._vault.release(disposition, command)
            except UNREADABLE as error:
                log.error("id=%s customer=%s event=release-stopped error=%s", first.id, first.customer, error)
                await self._index.stop(first.id, command, f"it can't be read any more: {error}")
                return ()
        if SCANNER not in self._plan():  # an installation without one would wait for ever
            return await self._let_go(await self._index.release(first.id, command))
        return [
            Rescan(
                received=_at(disposition.received, key),
                scanners=(SCANNER,),
                attempt=1,
                origin=-1,
                asked_at=self._clock.now(),
                release=command,
            )
        ]

    async def _rechecked(self, rechecked: Rechecked) -> Sequence[Event]:
        message, command = rechecked.id, rechecked.release
        if rechecked.status is Status.VIRUS:
            stopped = await self._index.stop(message, command, f"{SCANNER} found again: {rechecked.text}")
            if not stopped:
                return ()
            await self._vault.delete_released(rechecked.customer, message, command)
            log.warning("id=%s customer=%s event=release-stopped command=%s", message, rechecked.customer, command)
            return await self._snapshot(message)
        if rechecked.status in {Status.UNAVAILABLE, Status.GONE}:
            await self._index.stop(message, command, f"waits for {SCANNER}: {rechecked.text}", stay=True)
            return ()  # `sweep` asks again
        made = await self._let_go(await self._index.release(message, command))
        return [*made, *await self._snapshot(message)] if made else ()

    async def _let_go(self, ended: Ended) -> list[Event]:
        """Return what follows, once what delivery needs for it is there."""
        open_ = [row for row in ended.rows if not row.final]
        for message, command in {(r.id, r.command) for r in open_ if r.state is State.RELEASED}:
            disposition = ended.dispositions.get(message)
            if disposition is not None and any(is_quarantines(r.key) for r in open_ if r.id == message):
                try:
                    await self._vault.release(disposition, command)
                except UNREADABLE as error:  # a copy from before may be there still: delivery says so if it is not
                    log.error("id=%s event=not-released-again error=%s", message, error)
        return events(Ended(open_, ended.dispositions), self._exempt)

    def _exempt(self, row: Held) -> Exemption:
        return exempt(
            self._secrets.signing,
            message=row.id,
            customer=row.customer,
            recipient=row.recipient,
            release=row.command,
            policy=row.policy,
            at=row.ended_at,
        )

    async def _settle(self, outcome: Outcome) -> Sequence[Event]:
        """Delete what nobody waits for any more: a released copy with its recipients, all with the last of them."""
        rows = await self._index.settle(outcome)
        if not rows:
            return ()
        customer, message = outcome.customer, outcome.id
        if all(_over(row) for row in rows):
            await self._vault.delete(customer, message)
            log.info("id=%s customer=%s event=sealed-object-deleted", message, customer)
        else:
            for command in {row.command for row in rows if released_key(customer, message, row.command) == outcome.key}:
                if all(_over(row) for row in rows if row.command == command):
                    await self._vault.delete_released(customer, message, command)
        return await self._snapshot(message)

    # --- time

    async def expire(self, stop: asyncio.Event) -> None:
        """End every hold when its time is up, until `stop` is set. What can't be done now is done at a later look."""
        while not stop.is_set():
            try:
                await self.sweep()
            except (BusUnavailable, DatabaseUnavailable, StoreUnavailable) as error:
                log.warning("event=expiry-put-off error=%s", error)
            await happens(stop, self._config.sweep_seconds)

    async def ask_again(self, stop: asyncio.Event) -> None:
        """Ask the virus scanner again about releases that it did not answer, until `stop` is set."""
        while not await happens(stop, self._config.recheck_seconds):
            try:
                await self.ask_due()
            except (BusUnavailable, DatabaseUnavailable, StoreUnavailable) as error:
                log.warning("event=recheck-put-off error=%s", error)

    async def ask_due(self) -> int:
        """Ask about every release that has waited for an answer for a while, and return how many those were."""
        due = await self._index.releasing(self._clock.now() - self._config.recheck_seconds, self._config.sweep_limit)
        for customer, message, release in due:
            again = QuarantineCommand(
                command_id=release, id=message, customer=customer, action=Command.RELEASE, recipients=(), by="", at=0.0
            )
            begun = await self._index.under_way(again)
            await self._bus.publish(await self._check(begun, release))
        return len(due)

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
            await self._bus.publish([Tombstone(HOLDS, message) for message in purged])
            log.info("event=purged messages=%d", len(purged))
        if keys := await self._vault.discard_keys():
            log.info("event=keys-destroyed keys=%d", keys)
        return count


def _at(received: Received, key: str) -> Received:
    return msgspec.structs.replace(received, key=key, recovered=False)


def _log(asked: QuarantineCommand | QuarantineRequest, what: str, identity: str, count: int) -> None:
    log.info(
        "id=%s customer=%s event=%s command=%s recipients=%d", asked.id, asked.customer, str(what), identity, count
    )


def _over(row: Held) -> bool:
    """Return whether the row has its terminal outcome."""
    return bool(row.final) or row.state in {State.DELETED, State.EXPIRED, State.EXPIRING}
