"""The ledger: what was accepted has ended or is in flight, and each message that is neither is named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalog import COMMANDS, DISPOSITIONS, RECEIVED, partition_of
from schemas.events import (
    Action,
    Branch,
    Command,
    Deferred,
    Disposition,
    Envelope,
    Event,
    Outcome,
    Pending,
    QuarantineCommand,
    Received,
    State,
    Status,
)
from services.core.clock import ManualClock
from services.core.ids import message_id
from services.core.ledger import Fault, packed, unpacked
from services.core.sealed import released_key, sealed_key
from services.core.stored import pack
from services.runtime.audit import Audit, Balance
from services.runtime.fakes import MemoryBus
from services.runtime.fakes_store import MemoryStore
from services.runtime.source import Slot
from tests.samples import NOW, received

A, B, C = "a@example.test", "b@example.test", "c@example.test"


def accepted(*recipients: str, **changes: Any) -> Received:
    envelope = Envelope(reverse_path="x@sender.test", recipients=recipients or (A,), client_ip="192.0.2.1")
    return received(envelope=envelope, **changes)


def outcome(of: Received, *recipients: str, state: State = State.DELIVERED, at: float = NOW + 1) -> Outcome:
    return Outcome(
        id=of.id,
        customer=of.customer,
        key=of.key,
        recipients=recipients or of.envelope.recipients,
        total=len(of.envelope.recipients),
        state=state,
        at=at,
        received_at=of.received_at,
    )


def disposition(of: Received, action: Action = Action.DELIVER) -> Disposition:
    branch = Branch(recipients=of.envelope.recipients, action=action, rule="default", reason="no rule objects")
    return Disposition(received=of, branches=(branch,), status=Status.CLEAN, score=0.0, decided_at=NOW + 0.5)


class Books:
    """An audit with all that it reads."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW + 3_600)
        self.bus = MemoryBus(self.clock)
        self.store = MemoryStore(self.clock)
        self.held: dict[str, frozenset[str]] = {}
        self.looks = 0

    async def publish(self, *events: Event) -> None:
        await self.bus.publish(events)

    def read_all(self) -> None:
        """Let every group have read everything."""
        for slot, records in self.bus.logs.items():
            for group in ("policy", "delivery", "quarantine"):
                self.bus.offsets[group, slot] = len(records)

    async def committed(self, groups: Iterable[str]) -> Mapping[str, Mapping[Slot, int]]:
        self.looks += 1
        return {group: {s: at for (g, s), at in self.bus.offsets.items() if g == group} for group in groups}

    async def holds(self) -> Mapping[str, frozenset[str]]:
        return self.held

    async def audit(self, *, objects: bool = False, since: float = 0.0, young: float = 120.0) -> Balance:
        audit = Audit(
            self.bus,
            committed=self.committed,
            held=self.holds,
            now=self.clock.now,
            store=self.store if objects else None,
            since=since,
            young=young,
            pause=0.0,
        )
        return await audit.run()


def faults(balance: Balance) -> list[tuple[str, str, Fault]]:
    return [(each.id, each.recipient, each.fault) for each in balance.named]


async def test_nothing_balances() -> None:
    balance = await Books().audit(objects=True)
    assert balance.balanced
    assert balance.accounts == {}


async def test_what_ended_balances_for_each_customer() -> None:
    books = Books()
    one, many, other = accepted(), accepted(A, B, C), accepted(customer="other")
    await books.publish(one, many, other)
    await books.publish(outcome(one), outcome(many, A), outcome(many, B, C, state=State.BOUNCED), outcome(other))
    books.read_all()
    balance = await books.audit()
    assert balance.balanced
    example = balance.accounts["example"]
    assert (example.messages, example.accepted, example.terminal, example.in_flight) == (2, 4, 4, 0)
    assert example.ended == {"delivered": 2, "bounced": 2}
    assert balance.accounts["other"].accepted == 1


async def test_what_policy_has_not_read_is_being_decided() -> None:
    books = Books()
    await books.publish(accepted())
    balance = await books.audit()
    assert balance.balanced
    assert balance.accounts["example"].waiting == {"deciding": 1}


async def test_what_nothing_holds_is_lost_and_named() -> None:
    books = Books()
    lost, fine = accepted(A, B), accepted()
    await books.publish(lost, fine, outcome(fine), outcome(lost, A))
    books.read_all()
    balance = await books.audit()
    assert not balance.balanced
    assert faults(balance) == [(lost.id, B, Fault.LOST)]
    assert not balance.accounts["example"].balanced
    assert balance.accounts["example"].lost == 1


@pytest.mark.parametrize("where", ["deciding", "delivering", "deferred", "held", "asked"])
async def test_what_something_holds_is_in_flight(where: str) -> None:
    books = Books()
    event = accepted()
    decided = disposition(event, Action.QUARANTINE if where in {"held", "asked"} else Action.DELIVER)
    await books.publish(event)
    if where == "deciding":
        await books.publish(Pending(id=event.id, received=event, origin=0))
    else:
        await books.publish(decided)
    books.read_all()
    partition = partition_of(event.id, DISPOSITIONS.partitions)
    match where:
        case "delivering":
            books.bus.offsets["delivery", (DISPOSITIONS.name, partition)] = 0
        case "deferred":
            await books.publish(
                Deferred(disposition=decided, branch=0, recipients=(A,), attempts=1, since=NOW, next_at=NOW, reply="no")
            )
        case "held":
            books.held[event.id] = frozenset({A})
        case "asked":
            await books.publish(
                QuarantineCommand(
                    command_id="c", id=event.id, customer="example", action=Command.RELEASE, by="olga", at=NOW
                )
            )
            books.bus.offsets["quarantine", (COMMANDS.name, partition)] = 0
    balance = await books.audit()
    assert balance.balanced, balance.named
    assert balance.accounts["example"].waiting == {"held" if where == "asked" else where: 1}


async def test_what_is_held_no_more_and_has_no_outcome_is_lost() -> None:
    books = Books()
    event = accepted()
    await books.publish(event, disposition(event, Action.QUARANTINE))
    books.read_all()
    balance = await books.audit()
    assert faults(balance) == [(event.id, A, Fault.LOST)]
    assert balance.named[0].detail == "rule default said quarantine"


async def test_two_different_outcomes_are_named_and_the_same_again_is_not() -> None:
    books = Books()
    twice, again = accepted(), accepted()
    await books.publish(twice, again, outcome(again), outcome(again, at=NOW + 9))
    await books.publish(outcome(twice), outcome(twice, state=State.BOUNCED))
    balance = await books.audit()
    assert faults(balance) == [(twice.id, A, Fault.TWO_OUTCOMES)]
    assert balance.named[0].detail == "delivered, then bounced"
    assert balance.repeated == 1


async def test_an_outcome_of_what_was_never_accepted_is_named() -> None:
    books = Books()
    event, stranger = accepted(), accepted()
    await books.publish(event, outcome(event, A), outcome(event, B), outcome(stranger))
    balance = await books.audit()
    assert sorted(faults(balance)) == sorted([(event.id, B, Fault.NOT_ACCEPTED), (stranger.id, A, Fault.NOT_ACCEPTED)])


async def test_outcomes_of_messages_that_the_topic_has_forgotten_are_not_counted() -> None:
    books = Books()
    old = accepted(id=message_id(NOW - 20 * 86_400, os.urandom))
    slot = (RECEIVED.name, partition_of(old.id, RECEIVED.partitions))
    while True:  # a younger message in the same partition
        young = accepted(id=message_id(NOW + 1, os.urandom))
        if partition_of(young.id, RECEIVED.partitions) == slot[1]:
            break
    books.clock = books.bus._clock = ManualClock(NOW)
    await books.publish(old, young, outcome(old), outcome(young))
    del books.bus.logs[slot][0]
    balance = await books.audit()
    assert balance.balanced
    assert balance.older == 1
    assert balance.accounts["example"].accepted == 1


async def test_what_moves_while_it_is_looked_at_is_not_named() -> None:
    books = Books()
    event = accepted()
    await books.publish(event)
    books.read_all()

    async def committed(groups: Iterable[str]) -> Mapping[str, Mapping[Slot, int]]:
        await books.publish(outcome(event))  # it ends after the first look at the outcomes
        return await Books.committed(books, groups)

    audit = Audit(books.bus, committed=committed, held=books.holds, now=books.clock.now, pause=0.0)
    balance = await audit.run()
    assert balance.balanced
    assert balance.accounts["example"].waiting == {"moving": 1}


async def test_objects_are_compared() -> None:
    books = Books()
    flying, left_over, bare, unknown, withdrawn = (accepted() for _ in range(5))
    for event in (flying, left_over, unknown, withdrawn):
        body = b"x"
        await books.store.put(event.key, [pack(msgspec.structs.replace(event, size=1)), body])
    await books.publish(flying, left_over, bare, withdrawn)
    await books.publish(outcome(left_over), outcome(withdrawn, state=State.WITHDRAWN))
    balance = await books.audit(objects=True)
    assert {(each.id, each.fault) for each in balance.named} == {
        (left_over.id, Fault.NO_REASON),
        (bare.id, Fault.NO_OBJECT),
        (unknown.id, Fault.NO_EVENT),
        (withdrawn.id, Fault.WITHDRAWN_WRONGLY),
    }
    assert balance.objects == 4


async def test_a_copy_on_its_way_out_needs_a_message_and_is_none() -> None:
    books = Books()
    out, left_over = accepted(), accepted()
    for event in (out, left_over):
        place = released_key(event.customer, event.id, "command")
        await books.store.put(place, [pack(msgspec.structs.replace(event, size=1)), b"x"])
    await books.publish(out, left_over, outcome(left_over))
    balance = await books.audit(objects=True)
    assert {(each.id, each.fault) for each in balance.named} == {
        (out.id, Fault.NO_OBJECT),
        (left_over.id, Fault.NO_REASON),
    }
    await books.store.put(sealed_key(out.customer, out.id), [b"x"])
    books.held[out.id] = frozenset({A})
    balance = await books.audit(objects=True)
    assert [(each.id, each.fault) for each in balance.named] == [(left_over.id, Fault.NO_REASON)]


async def test_an_object_may_be_ahead_of_its_event() -> None:
    books = Books()
    event = accepted(id=message_id(books.clock.now() - 5, os.urandom))
    await books.store.put(event.key, [pack(msgspec.structs.replace(event, size=1)), b"x"])
    assert (await books.audit(objects=True)).balanced
    assert faults(await books.audit(objects=True, young=0.0)) == [(event.id, "", Fault.NO_EVENT)]


@given(st.binary(min_size=10, max_size=10), st.integers(0, 2**40))
def test_ids_are_packed_without_loss(chance: bytes, milliseconds: int) -> None:
    message = message_id(milliseconds / 1000, lambda _: chance)
    assert len(packed(message)) == 16
    assert unpacked(packed(message)) == message
