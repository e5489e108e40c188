"""Proves the balance of accepted messages from topics and store, a partition at a time; names what doesn't balance.

The system goes on meanwhile, and what is read first is older than what is read last. So what seems wrong is looked at
again a moment later, twice: only what stays wrong is named.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final

from schemas.catalog import COMMANDS, DEFERRED, DISPOSITIONS, OUTCOMES, PENDING, RECEIVED, partition_count, partition_of
from schemas.events import Action, Deferred, Disposition, Outcome, Pending, QuarantineCommand, Received
from services.core.branches import deals
from services.core.ids import born, is_message_id
from services.core.ledger import Account, Book, Fault, Named, left, packed, unpacked
from services.core.sealed import KEYS, PREFIX, RELEASED
from services.runtime.bus import Bus
from services.runtime.source import Slot
from services.runtime.store import Store

log = logging.getLogger("gatepost.ledger")

GROUPS: Final = ("policy", "delivery", "quarantine")
# Of the store: under each, an object needs a message that is in flight. kept/ has its own end, keys/ holds no mail.
PREFIXES: Final = ("mail", PREFIX, RELEASED)
LOOKS: Final = 3
PAUSE: Final = 3.0  # seconds between looks
YOUNG: Final = 120.0  # seconds that an object may be ahead of its event, or behind the event's failure

Committed = Callable[[Iterable[str]], Awaitable[Mapping[str, Mapping[Slot, int]]]]
Held = Callable[[], Awaitable[Mapping[str, frozenset[str]]]]  # the recipients of each message in quarantine


@dataclasses.dataclass(slots=True)
class Balance:
    """What an audit found."""

    accounts: dict[str, Account] = dataclasses.field(default_factory=dict)
    named: list[Named] = dataclasses.field(default_factory=list)
    repeated: int = 0  # recipients whose outcome was said again, the same one
    older: int = 0  # outcomes of messages from before the log, or `since`, begins
    objects: int | None = None  # that the store holds; None: it wasn't asked
    keys: int | None = None  # of customers, for what is held: none where nothing is

    @property
    def balanced(self) -> bool:
        """Whether every message is accounted for."""
        return not self.named and all(account.balanced for account in self.accounts.values())


@dataclasses.dataclass(slots=True)
class Sight:
    """What is known of one message that has not ended."""

    received: Received
    offset: int
    pending: bool = False
    waits: dict[str, str] = dataclasses.field(default_factory=dict)  # recipient → what holds it
    decided: dict[str, str] = dataclasses.field(default_factory=dict)  # recipient → what policy said


class Audit:
    """One run. Raises BusUnavailable, StoreUnavailable and DatabaseUnavailable."""

    def __init__(  # its ports
        self,
        bus: Bus,
        *,
        committed: Committed,
        held: Held | None,
        now: Callable[[], float],
        store: Store | None = None,
        since: float = 0.0,
        pause: float = PAUSE,
        young: float = YOUNG,
    ) -> None:
        """With a `store` its objects are compared too, those older than `young` seconds.

        `held` None: what policy holds counts as held until it ends.
        """
        self._bus = bus
        self._committed = committed
        self._held = held
        self._store = store
        self._since = since
        self._pause = pause
        self._young = young
        self._now = now

    async def run(self, partitions: Iterable[int] | None = None) -> Balance:
        """Return the balance of these partitions, all of them without a word."""
        balance = Balance()
        objects = None if self._store is None else await self._objects(self._store)
        balance.objects = None if objects is None else sum(map(len, objects.values()))
        balance.keys = None if self._store is None else len([stat async for stat in self._store.list(KEYS)])
        sums: dict[int, dict[str, Account]] = {}
        doubts: dict[int, list[Named]] = {}
        for partition in range(partition_count()) if partitions is None else partitions:
            book = await self._book(partition)
            open_ = book.open()
            sights = await self._sights(partition, open_)
            sums[partition] = book.accounts()
            doubts[partition] = [*book.doubts, *_settled(open_, sights, sums[partition])]
            if objects is not None:
                doubts[partition] += self._compared(book, sights, objects[partition])
            balance.repeated += sum(book.repeated.values())
            balance.older += book.older
        named = await self._again(doubts)
        for partition, accounts in sums.items():
            stays = set(named.get(partition, ()))
            for doubt in doubts[partition]:
                if doubt.fault is Fault.LOST:
                    # Where it was only looked at too early, a moment later something held it, or it had ended.
                    account = accounts[doubt.customer]
                    account.lost += doubt in stays
                    account.waiting["moving"] += doubt not in stays
            balance.named += named.get(partition, ())
            for customer, account in accounts.items():
                balance.accounts.setdefault(customer, Account()).add(account)
        balance.named.sort()
        return balance

    async def look(self, partition: int, messages: Collection[str]) -> tuple[dict[str, Sight], list[Named]]:
        """Return where those of some messages are that have not ended, and what does not balance: it looks thrice."""
        book = await self._book(partition, set(messages))
        open_ = book.open()
        sights = await self._sights(partition, open_)
        named = await self._again({partition: [*book.doubts, *_settled(open_, sights, {})]})
        return sights, named.get(partition, [])

    # --- one look

    async def _book(self, partition: int, only: Collection[str] | None = None) -> Book:
        """Return the book of a partition, or of some of its messages."""
        book: Book | None = None
        async for record in self._bus.read(RECEIVED, [partition]):
            if book is None:
                # Where the topic has lost its first records, messages from before are not in it.
                book = Book(max(self._since, record.timestamp if record.offset else 0.0))
            if isinstance(record.event, Received) and (only is None or record.event.id in only):
                book.accepted(record.event)
        book = book or Book(self._since)
        async for record in self._bus.read(OUTCOMES, [partition]):
            if isinstance(record.event, Outcome) and (only is None or record.event.id in only):
                book.ended(record.event)
        return book

    async def _sights(self, partition: int, open_: Mapping[str, frozenset[int]]) -> dict[str, Sight]:
        """Return what holds each of the open messages."""
        sights: dict[str, Sight] = {}
        if not open_:
            return sights
        committed = await self._committed(GROUPS)
        async for record in self._bus.read(RECEIVED, [partition]):
            if isinstance(record.event, Received) and record.event.id in open_:
                sights[record.event.id] = Sight(record.event, record.offset)
        read = committed["policy"].get((RECEIVED.name, partition), 0)
        for sight in sights.values():
            sight.pending = sight.offset >= read
        await self._pending(partition, sights)
        await self._decided(partition, sights, committed)
        await self._deferred(partition, sights)
        await self._quarantined(partition, sights, committed["quarantine"].get((COMMANDS.name, partition), 0))
        return sights

    async def _pending(self, partition: int, sights: Mapping[str, Sight]) -> None:
        waits: set[str] = set()
        async for record in self._bus.read(PENDING, [partition]):
            if record.key in sights:
                (waits.add if isinstance(record.event, Pending) else waits.discard)(record.key)
        for message in waits:
            sights[message].pending = True

    async def _decided(
        self, partition: int, sights: Mapping[str, Sight], committed: Mapping[str, Mapping[Slot, int]]
    ) -> None:
        slot = (DISPOSITIONS.name, partition)
        read = {
            Action.DELIVER: ("delivering", committed["delivery"].get(slot, 0)),
            Action.QUARANTINE: ("held", committed["quarantine"].get(slot, 0)),
        }
        async for record in self._bus.read(DISPOSITIONS, [partition]):
            if not isinstance(record.event, Disposition) or record.event.received.id not in sights:
                continue
            sight = sights[record.event.received.id]
            for branch in record.event.branches:
                for recipient in branch.recipients:
                    sight.decided[recipient] = f"rule {branch.rule} said {branch.action.value}"
                    name, upto = read.get(deals(branch), ("", 0))
                    if name and (record.offset >= upto or (name == "held" and self._held is None)):
                        sight.waits[recipient] = name
                    else:
                        sight.waits.pop(recipient, None)

    async def _deferred(self, partition: int, sights: Mapping[str, Sight]) -> None:
        live: dict[str, Deferred] = {}
        async for record in self._bus.read(DEFERRED, [partition]):
            if record.key.partition("/")[0] not in sights:
                continue
            if isinstance(record.event, Deferred):
                live[record.key] = record.event
            else:
                live.pop(record.key, None)
        for entry in live.values():
            waits = sights[entry.disposition.received.id].waits
            waits.update(dict.fromkeys(entry.recipients, "deferred"))

    async def _quarantined(self, partition: int, sights: Mapping[str, Sight], read: int) -> None:
        async for record in self._bus.read(COMMANDS, [partition]):
            event = record.event
            if isinstance(event, QuarantineCommand) and event.id in sights and record.offset >= read:
                sight = sights[event.id]
                recipients = event.recipients or sight.received.envelope.recipients
                sight.waits.update(dict.fromkeys(recipients, "held"))
        for message, held in ({} if self._held is None else await self._held()).items():
            if message in sights:
                sights[message].waits.update(dict.fromkeys(held, "held"))

    # --- the store

    async def _objects(self, store: Store) -> Mapping[int, dict[bytes, str]]:
        """Return the objects by partition and message."""
        found: defaultdict[int, dict[bytes, str]] = defaultdict(dict)
        for prefix in PREFIXES:
            async for stat in store.list(prefix):
                message = next((part for part in stat.key.split("/") if is_message_id(part)), None)
                if message is not None:
                    # The first found stays: a copy on its way out never stands for the object that it was made of.
                    found[partition_of(message, partition_count())].setdefault(packed(message), stat.key)
        return found

    def _compared(self, book: Book, sights: Mapping[str, Sight], objects: Mapping[bytes, str]) -> list[Named]:
        found: list[Named] = []
        now = self._now()
        for message, sight in sights.items():
            if objects.get(packed(message), RELEASED).startswith(RELEASED):
                found.append(Named(message, Fault.NO_OBJECT, "", sight.received.customer, sight.received.key))
        withdrawn = set(book.withdrawn())
        for key, place in objects.items():
            message = unpacked(key)
            if message in sights or born(message) < book.since or born(message) > now - self._young:
                continue
            customer = place.split("/")[1] if place.count("/") else ""
            if message in withdrawn:
                found.append(Named(message, Fault.WITHDRAWN_WRONGLY, "", customer, place))
            elif book.knows(message):
                found.append(Named(message, Fault.NO_REASON, "", customer, place))
            else:
                found.append(Named(message, Fault.NO_EVENT, "", customer, place))
        return found

    # --- the next look

    async def _again(self, doubts: Mapping[int, list[Named]]) -> dict[int, list[Named]]:
        """Return those of the doubts that stay, by partition."""
        left_ = {partition: some for partition, some in doubts.items() if some}
        for _ in range(LOOKS - 1):
            if not left_:
                break
            log.debug("event=look-again doubts=%d", sum(map(len, left_.values())))
            await asyncio.sleep(self._pause)
            objects: Mapping[int, dict[bytes, str]] | None = None
            if self._store is not None and any(d.fault not in _OF_TOPICS for some in left_.values() for d in some):
                objects = await self._objects(self._store)
            for partition, some in list(left_.items()):
                messages = {doubt.id for doubt in some}
                book = await self._book(partition, messages)
                open_ = book.open()
                sights = await self._sights(partition, open_)
                seen = {*book.doubts, *_settled(open_, sights, {})}
                if objects is not None:
                    keys = {packed(message) for message in messages}
                    seen |= set(
                        self._compared(book, sights, {k: v for k, v in objects[partition].items() if k in keys})
                    )
                stays = [doubt for doubt in some if doubt in seen]
                if stays:
                    left_[partition] = stays
                else:
                    del left_[partition]
        return left_


_OF_TOPICS: Final = frozenset({Fault.LOST, Fault.TWO_OUTCOMES, Fault.NOT_ACCEPTED})


def _settled(
    open_: Mapping[str, frozenset[int]], sights: Mapping[str, Sight], accounts: Mapping[str, Account]
) -> list[Named]:
    """Count what holds each open recipient in its customer's account, and return those that nothing holds."""
    lost: list[Named] = []
    for message, sums in open_.items():
        sight = sights.get(message)
        if sight is None:  # its event went out of the topic between the two readings
            continue
        received = sight.received
        account = accounts.get(received.customer)
        for recipient in left(received.envelope.recipients, sums):
            where = sight.waits.get(recipient) or ("deciding" if sight.pending else "")
            if where and account is not None:
                account.waiting[where] += 1
            if not where:
                told = sight.decided.get(recipient, "policy has read it, and neither holds it nor decided")
                lost.append(Named(message, Fault.LOST, recipient, received.customer, told))
    return lost
