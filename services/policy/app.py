"""The policy service: joins the verdicts of each message and publishes what is to be done with it.

It reads mail.received.v1 and mail.verdicts.v1, whose partitions hold the same ids. A message waits in the table
policy.pending.v1 until its plan has answered.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from schemas.catalog import PENDING, RECEIVED
from schemas.events import Customer, Disposition, Event, Outcome, Pending, Received, Rescan, Status, Verdict
from services.core.clock import Clock
from services.core.contacts import Contacts
from services.core.directory_groups import Membership, in_none, with_groups
from services.core.errors import BusUnavailable
from services.core.holds import SenderHolds
from services.core.outbreak import judged
from services.core.senders import Senders, names_of
from services.core.signals import Signals
from services.core.waiting import happens
from services.policy.data_loss import audited
from services.policy.decide import (
    Hold,
    asked,
    contacts,
    decide,
    deleted,
    merge,
    rescan_delay,
    with_received,
    with_rescan_at,
)
from services.policy.lists import Lists
from services.policy.outgoing import met, stopped
from services.runtime.bus import Bus, Record, Tombstone
from services.runtime.source import Slot
from services.runtime.table import Table

log = logging.getLogger("gatepost.policy")

TICK = 0.5  # seconds between looks at the questions that are due


def message_of(record: Record) -> tuple[Slot, int] | None:
    """Return where the message of a verdict lies: one is never committed without the other.

    The trap: after a crash the message alone comes again, long decided, and waits for verdicts for ever.
    """
    if isinstance(record.event, Verdict):
        return (RECEIVED.name, record.partition), record.event.origin
    return None


class Policy:
    """The join. Handling never waits between reading and changing the table: records take effect in their order.

    A decided message stays in the table until its disposition is acknowledged. Taken out before, a crash in between
    would leave nothing to decide it from: the offsets of its earlier verdicts may be committed already.
    """

    def __init__(
        self,
        bus: Bus,
        customer: Callable[[str], Customer | None],
        clock: Clock,
        senders: Senders | None = None,
        signals: Signals | None = None,
        holds: SenderHolds | None = None,
        known: Contacts | None = None,
        groups_of: Membership = in_none,
    ) -> None:
        # Asked when a message is decided: what has waited is judged by the latest.
        self._signals = Signals() if signals is None else signals
        self._holds = SenderHolds() if holds is None else holds
        # Of its own it never catches up, and nobody is a stranger.
        self._known = Contacts() if known is None else known
        self._groups_of = groups_of
        self._bus = bus
        self._customer = customer
        self._clock = clock
        self._senders = senders
        self._table: Table[Pending] = Table(bus, PENDING, Pending)
        self._read_to: dict[int, int] = {}  # partition of mail.received.v1 → next offset
        self._early: dict[int, dict[str, int]] = defaultdict(dict)  # verdicts before their message: id → its offset
        # Decided before their message came again, which is still to come after a crash: id → its offset.
        self._ahead: dict[int, dict[str, int]] = defaultdict(dict)
        self._leaving: dict[str, Record | None] = {}  # decided, not yet acknowledged: id → the record that decided it

    @property
    def waiting(self) -> int:
        """Return how many messages wait for verdicts."""
        return len(self._table)

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """Return the Disposition (and the Outcome of what is deleted) once the message's plan has answered."""
        match record.event:
            case Received() as received:
                pending = self._received(received, record)
            case Verdict() as verdict:
                pending = self._verdict(verdict, record.partition)
            case other:
                raise TypeError(f"policy does not read {type(other).__name__}")
        if pending is None:
            return ()
        answer = self._decide(pending)
        if isinstance(answer, Hold):
            failed = isinstance(record.event, Verdict) and any(
                answer.status is Status.UNAVAILABLE for answer in record.event.answers
            )
            if answer.ask and (failed or not pending.rescan_at):
                pending = self._put_off(pending)
            self._table.put(pending)
            return ()
        self._table.put(pending)
        self._leaving[pending.id] = record
        return self._events(pending, answer)

    async def finished(self, record: Record) -> None:
        """Let the message go once the disposition that the record led to is acknowledged."""
        if self._leaving.get(record.key) == record:
            del self._leaving[record.key]
            self._let_go(record.key)

    def _let_go(self, message: str) -> None:
        pending = self._table.get(message)
        partition = self._table.partition_of(message)
        if pending is not None and pending.origin >= self._read_to.get(partition, 0):
            self._ahead[partition][message] = pending.origin
        self._table.delete(message)

    def _received(self, received: Received, record: Record) -> Pending | None:
        self._read_to[record.partition] = record.offset + 1
        early = self._early[record.partition]
        early.pop(received.id, None)
        for stale in [message for message, origin in early.items() if origin < record.offset]:
            del early[stale]
            self._table.delete(stale)  # its message was decided before this process began
        ahead = self._ahead[record.partition]
        decided = ahead.get(received.id) == record.offset
        for passed in [message for message, origin in ahead.items() if origin <= record.offset]:
            del ahead[passed]
        if decided or received.id in self._leaving:
            return None
        return with_received(self._table.get(received.id), received, record.offset)

    def _verdict(self, verdict: Verdict, partition: int) -> Pending | None:
        pending = self._table.get(verdict.id)
        if verdict.id in self._leaving or verdict.id in self._ahead[partition]:
            return None
        if pending is None:
            if verdict.origin < self._read_to.get(partition, -1):
                return None  # a second answer on a message that is decided
            pending = Pending(id=verdict.id)
        if pending.received is None:
            self._early[partition][verdict.id] = verdict.origin
        for answer in verdict.answers:
            pending = merge(pending, answer)
        return pending

    def _decide(self, pending: Pending) -> Hold | Disposition | Outcome | None:
        customer = Customer(id="") if pending.received is None else self._rules_of(pending.received)
        now = self._clock.now()
        answers = judged({verdict.scanner: verdict for verdict in pending.verdicts}, self._signals, now)
        heard = msgspec.structs.replace(pending, verdicts=tuple(answers.values()))
        answer = decide(heard, customer, now, self._lists_of(pending, customer))
        return stopped(answer, self._holds.of(answer.received)) if isinstance(answer, Disposition) else answer

    def _lists_of(self, pending: Pending, customer: Customer) -> Lists | None:
        """Return what the customer's lists say of the sender, by recipient; None when they can say nothing."""
        if self._senders is None or pending.received is None:
            return None
        names = names_of(pending.received.envelope.reverse_path)
        if not names:
            return None
        return partial(self._senders.find, customer, senders=names)

    def _events(self, pending: Pending, answer: Disposition | Outcome | None) -> Sequence[Event]:
        if answer is None:
            return ()
        if isinstance(answer, Outcome):
            log.info("id=%s customer=%s event=withdrawn", pending.id, answer.customer)
            return (answer,)
        log.info(
            "id=%s customer=%s event=decided status=%s score=%.1f rules=%s",
            pending.id,
            answer.received.customer,
            answer.status.value,
            answer.score,
            ",".join(f"{branch.rule}:{branch.action.value}" for branch in answer.branches),
        )
        now = self._clock.now()
        ended = deleted(answer, now)
        answer, noted = met(answer, self._customer(answer.received.customer) or Customer(id=""), self._known, now)
        seen = (*contacts(answer, pending.verdicts), *noted, *audited(answer, pending.verdicts))
        return (answer, *seen) if ended is None else (answer, ended, *seen)

    def _rules_of(self, received: Received) -> Customer:
        customer = self._customer(received.customer)
        if customer is None:  # taken out of the configuration while the message was under way: the default rules apply
            log.warning("id=%s customer=%s event=customer-gone", received.id, received.customer)
            return Customer(id=received.customer)
        return with_groups(customer, received.envelope.recipients, self._groups_of)

    async def assigned(self, partitions: frozenset[int]) -> None:
        """Load what waits in these partitions."""
        await self._table.load(partitions)
        for message, pending in self._table.items():
            if pending.received is None:
                origin = min((verdict.origin for verdict in pending.verdicts), default=-1)
                self._early[self._table.partition_of(message)][message] = origin

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Forget what waits in these partitions: another member has it now."""
        self._table.drop(partitions)
        for partition in partitions:
            self._read_to.pop(partition, None)
            self._early.pop(partition, None)
            self._ahead.pop(partition, None)
        for message in [m for m in self._leaving if self._table.partition_of(m) in partitions]:
            del self._leaving[message]

    async def before_commit(self) -> None:
        """Write what still waits, so that its offsets may be committed."""
        await self._table.flush()

    async def ask_again(self, stop: asyncio.Event) -> None:
        """Ask unavailable scanners again when it is time, until `stop` is set."""
        while not stop.is_set():
            await happens(stop, TICK)
            try:
                await self._ask_due()
            except BusUnavailable as error:
                log.warning("event=rescan-put-off error=%s", error)

    async def _ask_due(self) -> None:
        now = self._clock.now()
        for message in [key for key, _ in self._table.items()]:
            pending = self._table.get(message)  # as it is now: others were asked for meanwhile, and answers came
            if pending is None or pending.received is None or message in self._leaving:
                continue  # decided, or its partition is another member's by now
            if not 0 < pending.rescan_at <= now:
                continue
            answer = self._decide(pending)
            if isinstance(answer, Hold):
                await self._ask(pending, answer.ask, now)
            else:
                await self._leave(pending, answer)

    async def _ask(self, pending: Pending, scanners: tuple[str, ...], now: float) -> None:
        if not scanners or pending.received is None:
            return
        question = Rescan(
            received=pending.received,
            scanners=scanners,
            attempt=pending.attempt + 1,
            origin=pending.origin,
            asked_at=now,
        )
        # Noted before it is published: the answer may be here before the acknowledgement is.
        self._table.put(asked(pending, now))
        try:
            await self._bus.publish([question])
        except BusUnavailable:
            if (current := self._table.get(pending.id)) is not None:
                self._table.put(self._put_off(current))
            raise

    def _put_off(self, pending: Pending) -> Pending:
        wait = rescan_delay(pending.attempt, random.random())  # noqa: S311 - spreads load, keeps no secret
        return with_rescan_at(pending, self._clock.now() + wait)

    async def _leave(self, pending: Pending, answer: Disposition | Outcome | None) -> None:
        """The time is up and no record will come for it: decide without one."""
        self._leaving[pending.id] = None
        try:
            await self._bus.publish(self._events(pending, answer))
            self._let_go(pending.id)
        finally:
            self._leaving.pop(pending.id, None)
