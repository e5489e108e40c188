"""Delivery: relays what policy lets through to the customer's MTA, and keeps what can't be relayed yet.

Consumes mail.dispositions.v1, keeps mail.deferred.v1, publishes mail.outcomes.v1: one outcome for each recipient.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from schemas.catalog import OUTCOMES, QUEUE_COMMANDS, key_of
from schemas.events import Action, Customer, Deferred, Disposition, Event, Outcome, QueueCommand, State
from services.core.clock import Clock
from services.core.errors import Temporary
from services.delivery.attempt import Attempts
from services.delivery.config import DeliveryConfig
from services.delivery.copies import Copies
from services.delivery.decide import fresh, refusal, to_deliver
from services.delivery.dial import Dial, SmtpDial
from services.delivery.hops import Hops
from services.delivery.pool import Pool
from services.delivery.queue import Queue, end
from services.delivery.report import Reporter
from services.delivery.shelf import Shelf
from services.delivery.sign import Signs
from services.runtime.bus import Bus, Record, Tombstone
from services.runtime.dns import Dns, Resolver
from services.runtime.store import Store

log = logging.getLogger("gatepost.delivery")

TAIL: Final = 5_000  # outcomes of each partition that are read back: more than can be uncommitted at a crash


@dataclasses.dataclass(slots=True)
class Work:
    """What a record of mail.dispositions.v1 asks for, and what came of it."""

    message: str
    entries: list[Deferred] = dataclasses.field(default_factory=list)
    pairs: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    events: list[Event] = dataclasses.field(default_factory=list)

    @property
    def outcomes(self) -> list[Outcome]:
        """Who has an end."""
        return [event for event in self.events if isinstance(event, Outcome)]


class Delivery:
    """The service behind the consume loop. `start` before the first record, `close` after the last."""

    def __init__(  # noqa: PLR0913  # its ports
        self,
        config: DeliveryConfig,
        *,
        store: Store,
        bus: Bus,
        customer: Callable[[str], Customer | None],
        clock: Clock,
        chance: Callable[[], float],
        dial: Dial | None = None,
        dns: Dns | None = None,
        ours: Callable[[], Awaitable[None]] | None = None,
        hosted: Callable[[str], bool] = lambda _: False,
        signs: Signs | None = None,
    ) -> None:
        """`customer` looks a customer up by id; `chance` returns numbers in [0, 1), such as `random.random`.

        `ours` returns once all that it has is surely this member's to send; by default it always is. `hosted` says
        whether a domain is some customer's; `signs` signs what goes out, None: nobody does.
        """
        self._bus = bus
        self._config = config
        self._clock = clock
        self._shelf = Shelf(bus)
        dns = dns or Resolver(config.dns, clock, validating=config.dns_validating)
        self._dial = dial or SmtpDial(config, clock, dns)
        self._pool = Pool(config, self._dial, clock, chance)
        own = (config.hostname, *config.own_names)
        hops = Hops(dns, private=config.relay_private_mx, port=config.relay_mx_port, own=own, hosted=hosted)
        self._attempts = Attempts(
            config,
            bus=bus,
            store=store,
            pool=self._pool,
            hops=hops,
            customer=customer,
            clock=clock,
            chance=chance,
            signs=signs,
        )
        self.queue = Queue(
            config,
            bus=bus,
            shelf=self._shelf,
            attempts=self._attempts,
            pool=self._pool,
            customer=customer,
            clock=clock,
            chance=chance,
            ours=ours or _always,
        )
        self._copies = Copies(
            config,
            store,
            customer,
            lambda message, recipient: (message, recipient) in self.queue.seen,
            self._attempts.budget,
        )
        self.partitions: set[int] = set()  # that are this member's
        self._flying: set[tuple[str, str]] = set()  # message and recipient of records that aren't finished
        self._work: dict[tuple[int, int], Work] = {}  # by partition and offset
        self._runner: asyncio.Task[None] | None = None
        self._reporter = Reporter(bus, self.queue, clock)
        self._reports: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to try what waits, and to tell how it goes."""
        self._runner = asyncio.create_task(self.queue.run(), name="delivery-queue")
        self._reports = asyncio.create_task(self._reporter.run(self._config.queue_report_seconds), name="queue-report")

    async def follow(self, caught_up: asyncio.Event) -> None:
        """Obey what people order, for ever; `caught_up` is set once the orders of the past are known."""
        async for record in self._bus.follow(QUEUE_COMMANDS, caught_up):
            if isinstance(record.event, QueueCommand):
                self.queue.obey(record.event, now=self._clock.now())

    async def close(self) -> None:
        """End attempts under way, say farewell to every MTA, stop. What waits is in the table."""
        for task in (self._runner, self._reports):
            if task is not None:
                await end(task)
        await self.queue.close()
        await self._pool.close()

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """Relay the disposition's branches that are to be delivered; returns an Outcome for who ended at once."""
        if self._runner is not None and self._runner.done():
            self._runner.result()  # a queue that died is a defect of ours: the record stays uncommitted
        event = record.event
        if not isinstance(event, Disposition):
            raise TypeError(f"delivery does not read {type(event).__name__}")
        work = Work(event.received.id)
        self._work[record.partition, record.offset] = work
        handled = False
        try:
            for index in to_deliver(event):
                self._plan(event, index, work, suspect=record.suspect)
            await self._copy(event, work)
            await self._relay(work)
            handled = True
        finally:
            if not handled:
                self._let_go((record.partition, record.offset))
        return work.events

    async def _copy(self, disposition: Disposition, work: Work) -> None:
        """Publish what rules ask for beside the delivery, of what isn't delivered yet and of what never is."""
        begun = {entry.branch for entry in work.entries}
        branches = [
            index
            for index, branch in enumerate(disposition.branches)
            if (branch.bcc or branch.notify) and (index in begun or branch.action is not Action.DELIVER)
        ]
        made = await self._copies.of(disposition, branches) if branches else []
        if made:
            await self._bus.publish(made)

    async def _relay(self, work: Work) -> None:
        refused = [entry for entry in work.entries if entry.disposition.branches[entry.branch].refuse]
        for entry in refused:
            why = refusal(entry.disposition.branches[entry.branch])
            work.events += (await self._attempts.end(entry, State.BOUNCED, why)).events
        work.entries = [entry for entry in work.entries if entry not in refused]
        if len(work.entries) == 1:
            work.events += (await self.queue.first(work.entries[0])).events
            return
        failure: BaseException | None = None
        for result in await asyncio.gather(*map(self.queue.first, work.entries), return_exceptions=True):
            if isinstance(result, BaseException):
                failure = result
            else:
                work.events += result.events
        if failure is not None:
            # The whole record is handled again: what has ended must be known by then, or it is sent twice.
            await self._bus.publish(work.events)
            self.queue.remember(work.outcomes)
            raise failure

    def _plan(self, disposition: Disposition, index: int, work: Work, *, suspect: bool) -> None:
        """Put into `work` what is still to be done for a branch: nothing when it was dealt with before.

        `suspect`: a process that was killed may have begun it, so it may arrive twice.
        """
        entry = fresh(disposition, index, tuple(dict.fromkeys(disposition.branches[index].recipients)))
        key = key_of(entry)
        waiting = self._shelf.get(key)
        known = frozenset(waiting.recipients) if waiting else frozenset()
        left = tuple(
            recipient
            for recipient in entry.recipients
            if recipient not in known
            and (work.message, recipient) not in self.queue.seen
            and (work.message, recipient) not in self._flying
        )
        if len(left) < len(entry.recipients):
            log.info("id=%s event=seen-before recipients=%d", work.message, len(entry.recipients) - len(left))
        if not left:
            return
        if waiting is not None:
            self.queue.extend(key, left, duplicate=suspect)
            return
        pairs = {(work.message, recipient) for recipient in left}
        work.pairs |= pairs
        self._flying |= pairs
        work.entries.append(msgspec.structs.replace(entry, recipients=left, possible_duplicate=suspect))

    async def finished(self, record: Record) -> None:
        """Remember the record's outcomes: they are published now, and the record may come again."""
        work = self._let_go((record.partition, record.offset))
        if work is not None:
            self.queue.remember(work.outcomes)

    def _let_go(self, at: tuple[int, int]) -> Work | None:
        work = self._work.pop(at, None)
        if work is not None:
            self._flying -= work.pairs
        return work

    async def assigned(self, partitions: frozenset[int]) -> None:
        """Load what waits, and what ended lately: a record that comes again must not be delivered again."""
        self.partitions |= partitions
        async for record in self._bus.read(OUTCOMES, sorted(partitions), tail=TAIL):
            if isinstance(record.event, Outcome):
                self.queue.remember((record.event,))
        cut = await self._shelf.load(partitions, self.queue.place)
        await self.queue.adopt(partitions, cut)
        await self._reporter.assigned(partitions)

    async def revoked(self, partitions: frozenset[int]) -> None:
        """End attempts under way, write down what they changed, and forget."""
        self.partitions -= partitions
        for at in [at for at in self._work if at[0] in partitions]:
            self._let_go(at)  # handled, but its outcomes never published: whoever reads it next does it again
        await self.queue.abandon(partitions)
        try:
            await self._shelf.flush()
        except Temporary as error:
            # The next owner tries some entries too often; their outcomes, which are published, stop it.
            log.warning("event=table-not-written error=%s", error)
        await self._shelf.drop(partitions)

    async def before_commit(self) -> None:
        """Write what waits, so that the dispositions behind it may be committed."""
        await self._shelf.flush()


async def _always() -> None:
    """Nobody else has what is ours."""
