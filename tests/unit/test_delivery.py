"""Delivery over an MTA, a broker and a store in memory: every recipient ends once, whatever fails in between."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from schemas.catalog import DEFERRED, DISPOSITIONS, OUTCOMES, partition_of
from schemas.events import (
    Action,
    Branch,
    Customer,
    Deferred,
    Direction,
    Disposition,
    Domain,
    Envelope,
    Event,
    Host,
    Outcome,
    State,
    Status,
)
from services.core.clock import ManualClock
from services.core.errors import StoreUnavailable
from services.core.ledger import Book
from services.core.stored import pack
from services.delivery.app import Delivery
from services.delivery.config import DeliveryConfig
from services.delivery.decide import DAY, Stage
from services.delivery.dial import Unreachable
from services.delivery.fakes import MemoryMta
from services.delivery.session import Session
from services.runtime.bus import Record
from services.runtime.consume import Consumer
from services.runtime.fakes import MemoryBus
from services.runtime.fakes_store import MemoryStore
from tests.eventually import eventually
from tests.samples import NOW, received

BODY = b"From: a@sender.test\r\nSubject: x\r\n\r\nbody\r\n"
ALL = frozenset(range(DISPOSITIONS.partitions))
B, C, D = "b@example.test", "c@example.test", "d@example.test"


class TwoHosts(MemoryMta):
    """first.test refuses."""

    async def __call__(self, host: Host) -> Session:
        if host.host == "first.test":
            raise Unreachable("refused")
        return await super().__call__(host)


class Bench:
    """A Delivery and everything around it."""

    def __init__(
        self,
        bus: MemoryBus | None = None,
        store: MemoryStore | None = None,
        mta: MemoryMta | None = None,
        **config: Any,
    ) -> None:
        self.clock = ManualClock(NOW)
        self.bus = bus or MemoryBus(self.clock)
        self.store = store or MemoryStore()
        self.mta = mta or MemoryMta()
        self.relay: tuple[Host, ...] = (Host(host="mta.test"),)
        self.known = True
        self.lapses_at = 0.0
        self.config = DeliveryConfig(hostname="mx.gatepost.test", **config)
        self.offsets = itertools.count()
        self.delivery = self.another()

    def another(self, **ports: Any) -> Delivery:
        """Return a Delivery as a fresh process has it, with some ports of its own."""
        return Delivery(
            self.config,
            store=self.store,
            bus=self.bus,
            customer=self.customer,
            clock=self.clock,
            chance=lambda: 0.5,
            dial=self.mta,
            **ports,
        )

    def customer(self, customer: str) -> Customer | None:
        domains = (Domain(name="example.test", relay=self.relay), Domain(name="other.test", relay=self.relay))
        settings = Customer(id=customer, domains=domains, queue_days=10, lapses_at=self.lapses_at)
        return settings if self.known else None

    async def message(
        self, *recipients: str, branches: Sequence[Branch] = (), body: bytes = BODY, **changes: Any
    ) -> Disposition:
        """Store a message and return its disposition."""
        to = recipients or (B,)
        envelope = Envelope(reverse_path="a@sender.test", recipients=to, client_ip="192.0.2.1")
        event = received(envelope=envelope, size=len(body))
        await self.store.put(event.key, [pack(event), body])
        branches = tuple(branches) or (Branch(recipients=to, action=Action.DELIVER, rule="r", reason=""),)
        disposition = Disposition(
            received=event, branches=branches, status=Status.CLEAN, score=0, decided_at=self.clock.now()
        )
        return msgspec.structs.replace(disposition, **changes)

    def record(self, disposition: Disposition) -> Record:
        key = disposition.received.id
        return Record(
            DISPOSITIONS, partition_of(key, DISPOSITIONS.partitions), next(self.offsets), key, disposition, NOW
        )

    async def handle(self, disposition: Disposition) -> list[Outcome]:
        """Do with a record what the consume loop does."""
        record = self.record(disposition)
        results = await self.delivery.handle(record)
        await self.bus.publish([event for event in results if isinstance(event, Event)])
        await self.delivery.finished(record)
        return [event for event in results if isinstance(event, Outcome)]

    async def deliver(self, *recipients: str, **changes: Any) -> list[Outcome]:
        return await self.handle(await self.message(*recipients, **changes))

    def ends(self) -> list[tuple[str, State]]:
        """Return every recipient's end that was published."""
        outcomes = [e for e in self.bus.events(OUTCOMES) if isinstance(e, Outcome)]
        return [(recipient, outcome.state) for outcome in outcomes for recipient in outcome.recipients]

    def waiting(self) -> list[Deferred]:
        return [entry for _, entry in self.delivery._shelf.items()]

    async def run(self, seconds: float = 0.0) -> None:
        """Let time pass, and everything that is due then happen."""
        self.clock.advance(seconds)
        for _ in range(5):
            self.delivery.queue.tick()
            for _ in range(1_000):
                await asyncio.sleep(0)
                if not self.delivery.queue._jobs:
                    break


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    yield bench
    await bench.delivery.close()


def arrived(bench: Bench) -> list[tuple[str, ...]]:
    return [message.recipients for message in bench.mta.arrived]


async def test_a_message_is_delivered_with_our_fields_on_top(bench: Bench) -> None:
    (outcome,) = await bench.deliver()
    assert (outcome.state, outcome.recipients, outcome.total, outcome.attempts) == (State.DELIVERED, (B,), 1, 1)
    assert (outcome.host, outcome.reply) == ("mta.test:25", "250 2.0.0 taken")
    content = bench.mta.arrived[0].content
    assert content.startswith(b"X-Gatepost: id=")
    assert content.endswith(BODY)
    assert not bench.waiting()


async def test_an_attachment_is_taken_out_and_its_end_says_so(bench: Bench) -> None:
    body = b"Subject: x\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\n%PDF-1.7\r\n"
    asks = Branch(recipients=(B,), action=Action.DELIVER, rule="no files", reason="", strip=("all",))
    (outcome,) = await bench.deliver(branches=(asks,), body=body)
    assert (outcome.state, outcome.removed) == (State.DELIVERED, ("a.pdf",))
    content = bench.mta.arrived[0].content
    assert b"PDF-1.7" not in content
    assert b"the rule no files of your organisation takes out all attachments" in content.replace(b"=\r\n", b"")


async def test_from_the_second_at_which_the_licence_lapses_a_notice_is_put_on_what_comes_in(bench: Bench) -> None:
    bench.lapses_at = NOW + 60
    await bench.deliver()
    await bench.run(59)
    await bench.deliver()
    assert all(message.content.endswith(BODY) for message in bench.mta.arrived)
    await bench.run(1)
    await bench.deliver()
    *_, stamped = bench.mta.arrived
    assert b"X-Gatepost-Notice: " in stamped.content
    assert b"was not renewed" in stamped.content.partition(b"\r\n\r\n")[2]
    out = await bench.message()
    await bench.handle(
        msgspec.structs.replace(out, received=msgspec.structs.replace(out.received, direction=Direction.OUTBOUND))
    )
    assert bench.mta.arrived[-1].content.endswith(BODY), "what the customer sends is read by others"
    bench.lapses_at = NOW + 10_000  # renewed
    await bench.deliver()
    assert bench.mta.arrived[-1].content.endswith(BODY)


async def test_other_branches_are_left_alone(bench: Bench) -> None:
    branches = (
        Branch(recipients=(B,), action=Action.QUARANTINE, rule="q", reason=""),
        Branch(recipients=(C,), action=Action.DELIVER, rule="tag", reason="", tag_subject="[T]"),
        Branch(recipients=(D,), action=Action.DELIVER, rule="plain", reason=""),
    )
    outcomes = await bench.deliver(B, C, D, branches=branches)
    assert sorted(o.recipients for o in outcomes) == [(C,), (D,)]
    assert {o.total for o in outcomes} == {3}
    subjects = {m.recipients: m.content.count(b"Subject: [T] x") for m in bench.mta.arrived}
    assert subjects == {(C,): 1, (D,): 0}


async def test_a_redirect_replaces_the_recipient_and_counts_on_the_original(bench: Bench) -> None:
    branch = Branch(recipients=(B, C), action=Action.DELIVER, rule="r", reason="", redirect_to="box@other.test")
    (outcome,) = await bench.deliver(B, C, branches=(branch,))
    assert outcome.recipients == (B, C)
    assert arrived(bench) == [("box@other.test",)]


async def test_temporary_and_permanent_are_told_apart(bench: Bench) -> None:
    bench.mta.manners.recipients = {C: (450, "4.2.1 busy"), D: (550, "5.1.1 unknown")}
    await bench.deliver(B, C, D)
    assert sorted(bench.ends()) == [(B, State.DELIVERED), (D, State.BOUNCED)]
    (entry,) = bench.waiting()
    assert (entry.recipients, entry.attempts, entry.reply) == ((C,), 1, "450 4.2.1 busy")
    bench.mta.manners.recipients = {}
    await bench.run(59)
    assert len(bench.ends()) == 2
    await bench.run(2)
    assert sorted(bench.ends()) == [(B, State.DELIVERED), (C, State.DELIVERED), (D, State.BOUNCED)]
    assert not bench.waiting()


async def test_it_waits_longer_and_longer_and_expires_after_the_customers_days(bench: Bench) -> None:
    bench.mta.manners.recipients = {B: (450, "4.2.1 busy")}
    await bench.deliver()
    waits = []
    while bench.waiting():
        entry = bench.waiting()[0]
        waits.append(entry.next_at - bench.clock.now())
        await bench.run(waits[-1])
    assert [round(wait) for wait in waits[:7]] == [60, 120, 240, 480, 960, 1800, 1800]
    assert bench.ends() == [(B, State.EXPIRED)]
    assert bench.clock.now() == pytest.approx(NOW + 10 * DAY)
    assert sum(waits) == pytest.approx(10 * DAY)


async def test_down_and_up_again_flushes_everything_once(bench: Bench) -> None:
    bench.mta.manners.up = False
    for number in range(60):
        await bench.deliver(f"r{number}@example.test")
    assert bench.mta.connections == 0
    assert len(bench.waiting()) == 60
    assert sum(entry.attempts for entry in bench.waiting()) == 1  # one found out; the others never tried
    await bench.run(30)
    bench.mta.manners.up = True
    await bench.run(60)  # far less than most of their own schedules
    assert sorted(bench.ends()) == sorted((f"r{n}@example.test", State.DELIVERED) for n in range(60))
    assert len(bench.mta.arrived) == 60
    assert bench.mta.most_at_once <= bench.config.relay_connections
    assert not bench.waiting()


async def test_who_stood_in_line_as_the_destination_went_down_does_not_try() -> None:
    bench = Bench(relay_connections=1)
    await bench.delivery.assigned(ALL)
    bench.mta.manners.up = False
    await asyncio.gather(*(bench.deliver(f"r{n}@example.test") for n in range(20)))
    assert bench.mta.refused == 1
    assert len(bench.waiting()) == 20
    await bench.delivery.close()


async def test_a_flush_is_oldest_first() -> None:
    bench = Bench(relay_connections=1)
    await bench.delivery.assigned(ALL)
    bench.mta.manners.up = False
    for number in range(9):
        await bench.deliver(f"r{number}@example.test")
        bench.clock.advance(0.01)
    bench.mta.manners.up = True
    await bench.run(60)
    order = [to for (to,) in arrived(bench)]
    assert order == [f"r{n}@example.test" for n in range(9)]
    await bench.delivery.close()


async def test_one_poisoned_message_does_not_keep_the_destination_down(bench: Bench) -> None:
    bench.mta.manners.recipients = {B: (421, "4.7.0 not this one")}
    await bench.deliver(B)
    await bench.deliver(C)
    await bench.deliver(D)
    for _ in range(3):
        await bench.run(150)
    assert sorted(bench.ends()) == [(C, State.DELIVERED), (D, State.DELIVERED)]
    assert [entry.recipients for entry in bench.waiting()] == [(B,)]


async def test_a_message_put_off_delays_no_other(bench: Bench) -> None:
    bench.mta.manners.recipients = {B: (451, "4.7.1 greylisted")}
    await bench.deliver(B)
    assert [o.state for o in await bench.deliver(C)] == [State.DELIVERED]


async def test_an_mta_that_put_everything_off_gets_it_all_when_it_recovers(bench: Bench) -> None:
    bench.mta.manners.final = (451, "4.3.0 disk full")
    for number in range(5):
        await bench.deliver(f"r{number}@example.test")
    await bench.run(200)
    bench.mta.manners.final = (250, "2.0.0 taken")
    await bench.deliver(B)
    await bench.run()
    assert len(bench.ends()) == 6
    assert not bench.waiting()


async def test_an_mta_that_has_enough_connections_is_not_down(bench: Bench) -> None:
    bench.mta.held = asyncio.Event()
    one = asyncio.create_task(bench.deliver(B))
    await eventually(lambda: bench.mta.open == 1)
    bench.mta.manners.greeting = (421, "4.7.0 too many connections")
    assert await bench.deliver(C) == []
    assert bench.waiting()[0].next_at - bench.clock.now() < 5
    other = asyncio.create_task(bench.deliver(D))
    for _ in range(50):
        await asyncio.sleep(0)
    assert bench.mta.refused == 1  # the next one waits for the connection that there is
    bench.mta.held.set()
    await asyncio.gather(one, other)
    await bench.run(5)
    assert sorted(bench.ends()) == [(B, State.DELIVERED), (C, State.DELIVERED), (D, State.DELIVERED)]
    assert bench.mta.connections == 1


async def test_the_second_host_is_used_when_the_first_refuses() -> None:
    bench = Bench(mta=TwoHosts())
    bench.relay = (Host(host="second.test", preference=20), Host(host="first.test", preference=10))
    await bench.delivery.assigned(ALL)
    (outcome,) = await bench.deliver()
    assert (outcome.state, outcome.host, outcome.attempts) == (State.DELIVERED, "second.test:25", 1)
    await bench.delivery.close()


async def test_a_kept_connection_that_fails_at_mail_costs_no_attempt(bench: Bench) -> None:
    bench.mta.manners.cuts_kept = True
    await bench.deliver(B)
    (outcome,) = await bench.deliver(C)
    assert (outcome.state, outcome.attempts) == (State.DELIVERED, 1)
    assert bench.mta.connections == 2


async def test_a_lost_answer_is_counted_as_a_possible_duplicate(bench: Bench) -> None:
    bench.mta.manners.hang_up = Stage.FINAL
    assert await bench.deliver() == []
    assert [entry.possible_duplicate for entry in bench.waiting()] == [True]
    bench.mta.manners.hang_up = None
    await bench.run(61)
    assert [e.possible_duplicate for e in bench.bus.events(OUTCOMES) if isinstance(e, Outcome)] == [True]
    assert len(bench.mta.arrived) == 2


async def test_an_object_that_is_gone_before_it_was_tried_was_taken_back_at_the_door(bench: Bench) -> None:
    disposition = await bench.message(B, C)
    await bench.store.delete(disposition.received.key)
    (outcome,) = await bench.handle(disposition)
    assert (outcome.state, outcome.recipients, outcome.total, outcome.bounce) == (State.WITHDRAWN, (B, C), 2, "")
    assert not bench.waiting()
    assert not bench.mta.arrived
    book = Book()
    book.accepted(disposition.received)
    book.ended(outcome)
    assert (book.open(), book.doubts, list(book.withdrawn())) == ({}, [], [outcome.id])


async def test_who_has_an_end_already_gets_no_second_one(bench: Bench) -> None:
    disposition = await bench.message(B, C)
    await bench.store.delete(disposition.received.key)
    (first,) = await bench.deliver(D)
    done = msgspec.structs.replace(first, id=disposition.received.id, recipients=(B,), total=2)
    await bench.bus.publish([done])  # by another member, and not in our memory
    (outcome,) = await bench.handle(disposition)
    assert (outcome.state, outcome.recipients) == (State.WITHDRAWN, (C,))


@pytest.mark.parametrize("changes", [{"recovered": True}, {"own": "digest"}, {"bounce_of": "x"}])
async def test_what_the_door_never_refused_is_a_loss_and_no_outcome_hides_it(
    bench: Bench, changes: dict[str, Any]
) -> None:
    disposition = await bench.message()
    received = msgspec.structs.replace(disposition.received, **changes)
    await bench.store.delete(received.key)
    assert await bench.handle(msgspec.structs.replace(disposition, received=received)) == []
    assert not bench.waiting()
    assert bench.delivery._attempts.counts["object-gone"] == 1


async def test_an_object_that_is_gone_later_ends_nothing(bench: Bench) -> None:
    bench.mta.manners.mail = (450, "later")
    assert await bench.deliver() == []
    (waits,) = bench.waiting()
    bench.mta.manners.mail = (250, "fine")
    await bench.store.delete(waits.disposition.received.key)
    await bench.run(120)
    assert bench.ends() == []
    old = await bench.message(decided_at=bench.clock.now() - 601)
    await bench.store.delete(old.received.key)
    assert await bench.handle(old) == []


async def test_a_store_that_is_down_leaves_the_record_to_the_loop(bench: Bench) -> None:
    disposition = await bench.message()
    bench.store.down = True
    with pytest.raises(StoreUnavailable):
        await bench.handle(disposition)
    bench.store.down = False
    assert [o.state for o in await bench.handle(disposition)] == [State.DELIVERED]
    assert arrived(bench) == [(B,)]


async def test_what_one_branch_achieved_is_not_done_again_when_another_fails(bench: Bench) -> None:
    branches = tuple(Branch(recipients=(to,), action=Action.DELIVER, rule=to, reason="") for to in (B, C))
    disposition = await bench.message(B, C, branches=branches)
    bench.mta.held = asyncio.Event()
    bench.store.fail("get", StoreUnavailable("once"))
    task = asyncio.create_task(bench.handle(disposition))
    await eventually(lambda: bench.mta.open == 1)
    bench.mta.held.set()
    with pytest.raises(StoreUnavailable):
        await task
    await bench.handle(disposition)
    assert sorted(bench.ends()) == [(B, State.DELIVERED), (C, State.DELIVERED)]
    assert sorted(arrived(bench)) == [(B,), (C,)]


async def test_a_store_that_is_down_later_delays_what_waits(bench: Bench) -> None:
    bench.mta.manners.recipients = {B: (450, "4.2.1 busy")}
    await bench.deliver()
    bench.mta.manners.recipients = {}
    bench.store.down = True
    await bench.run(61)
    assert bench.waiting()
    bench.store.down = False
    await bench.run(120)
    assert bench.ends() == [(B, State.DELIVERED)]


async def test_a_domain_without_hosts_waits_for_them(bench: Bench) -> None:
    bench.relay = ()
    await bench.deliver(B)
    await bench.deliver(C)
    assert "no host is configured for example.test" in {entry.reply for entry in bench.waiting()}
    bench.relay = (Host(host="new.test"),)
    await bench.run(73)
    assert sorted(bench.ends()) == [(B, State.DELIVERED), (C, State.DELIVERED)]


async def test_new_hosts_get_what_waited_for_the_old_ones(bench: Bench) -> None:
    bench.mta.manners.up = False
    for to in (B, C, D):
        await bench.deliver(to)
    await bench.run(30)
    bench.mta.manners.up = True
    bench.relay = (Host(host="new.test"),)
    await bench.run(61)
    assert len(bench.ends()) == 3
    assert {e.host for e in bench.bus.events(OUTCOMES) if isinstance(e, Outcome)} == {"new.test:25"}


async def test_a_customer_that_is_gone_keeps_its_mail_for_ten_days(bench: Bench) -> None:
    bench.known = False
    await bench.deliver()
    await bench.run(9 * DAY)
    assert bench.waiting()
    await bench.run(1.1 * DAY)
    assert bench.ends() == [(B, State.EXPIRED)]


async def test_mail_expires_while_the_destination_is_down(bench: Bench) -> None:
    bench.mta.manners.up = False
    await bench.deliver(B)
    await bench.deliver(C)
    for _ in range(12):
        await bench.run(DAY)
    assert sorted(bench.ends()) == [(B, State.EXPIRED), (C, State.EXPIRED)]
    assert not bench.waiting()


# --- once, whatever is read twice


async def test_the_same_disposition_twice_is_delivered_once(bench: Bench) -> None:
    disposition = await bench.message()
    await bench.handle(disposition)
    assert await bench.handle(disposition) == []
    assert arrived(bench) == [(B,)]


async def test_a_second_copy_while_the_first_is_under_way_is_ignored(bench: Bench) -> None:
    disposition = await bench.message()
    bench.mta.held = asyncio.Event()
    first = asyncio.create_task(bench.handle(disposition))
    await eventually(lambda: bench.mta.open == 1)
    assert await bench.handle(disposition) == []
    bench.mta.held.set()
    assert len(await first) == 1
    assert arrived(bench) == [(B,)]


async def test_a_second_copy_of_what_waits_is_ignored(bench: Bench) -> None:
    disposition = await bench.message()
    bench.mta.manners.up = False
    await bench.handle(disposition)
    bench.mta.manners.up = True
    assert await bench.handle(disposition) == []
    await bench.run(61)
    assert await bench.handle(disposition) == []
    assert arrived(bench) == [(B,)]
    assert bench.ends() == [(B, State.DELIVERED)]


async def test_after_a_crash_the_published_outcomes_stop_a_second_delivery(bench: Bench) -> None:
    disposition = await bench.message()
    await bench.handle(disposition)
    bench.delivery = bench.another()
    await bench.delivery.assigned(ALL)
    assert await bench.handle(disposition) == []
    assert arrived(bench) == [(B,)]


async def test_after_a_crash_what_was_written_waits_on_and_is_asked_for_at_once(bench: Bench) -> None:
    disposition = await bench.message(B, C)
    bench.mta.manners.recipients = {C: (450, "4.2.1 busy")}
    await bench.handle(disposition)
    await bench.delivery.before_commit()
    bench.mta.manners.recipients = {}
    bench.delivery = bench.another()
    await bench.delivery.assigned(ALL)
    assert [entry.recipients for entry in bench.waiting()] == [(C,)]
    assert await bench.handle(disposition) == []
    await bench.run()
    assert sorted(bench.ends()) == [(B, State.DELIVERED), (C, State.DELIVERED)]
    assert arrived(bench) == [(B,), (C,)]
    await bench.delivery.before_commit()
    assert (
        not bench.bus.events(DEFERRED)
        or bench.bus.logs[DEFERRED.name, partition_of(disposition.received.id, DEFERRED.partitions)][-1].value is None
    )


async def test_a_recipient_whose_outcome_was_never_published_is_done_again(bench: Bench) -> None:
    disposition = await bench.message(B, C)
    bench.mta.manners.recipients = {C: (450, "4.2.1 busy")}
    await bench.delivery.handle(bench.record(disposition))  # and the crash comes before its results are published,
    await bench.delivery.before_commit()  # but after another record's commit wrote the table
    bench.delivery = bench.another()
    await bench.delivery.assigned(ALL)
    await bench.handle(disposition)
    bench.mta.manners.recipients = {}
    await bench.run(61)
    assert sorted(bench.ends()) == [(B, State.DELIVERED), (C, State.DELIVERED)]
    assert not bench.waiting()


async def test_what_was_handled_but_never_published_is_done_again_after_a_rebalance(bench: Bench) -> None:
    disposition = await bench.message()
    await bench.delivery.handle(bench.record(disposition))
    await bench.delivery.revoked(ALL)
    await bench.delivery.assigned(ALL)
    assert [o.state for o in await bench.handle(disposition)] == [State.DELIVERED]


async def delivered_later(bench: Bench) -> None:
    """Deliver a message that was put off, and written into the table, at first."""
    bench.mta.manners.recipients = {B: (450, "4.2.1 busy")}
    await bench.deliver()
    await bench.delivery.before_commit()
    bench.mta.manners.recipients = {}
    await bench.run(61)


async def test_an_entry_whose_outcome_is_already_there_goes(bench: Bench) -> None:
    await delivered_later(bench)  # outcome published, and the crash comes before the tombstone
    bench.delivery = bench.another()
    await bench.delivery.assigned(ALL)
    await bench.run(100)
    assert bench.ends() == [(B, State.DELIVERED)]
    assert arrived(bench) == [(B,)]


async def test_what_has_ended_stays_ended_though_the_brokers_leader_of_before_answers(bench: Bench) -> None:
    """A broker that was paused for longer than its session says where its log ends, which is not where the log ends."""
    await delivered_later(bench)
    await bench.delivery.before_commit()
    bench.bus.behind = 2  # neither the mark of the attempt nor its end; and no outcome
    bench.delivery = bench.another()
    await bench.delivery.assigned(ALL)
    bench.bus.behind = 0
    await bench.run(100)
    assert arrived(bench) == [(B,)]


async def test_a_release_goes_out_beside_what_waits_of_the_same_message(bench: Bench) -> None:
    branches = (
        Branch(recipients=(B,), action=Action.DELIVER, rule="r", reason=""),
        Branch(recipients=(C,), action=Action.QUARANTINE, rule="q", reason=""),
    )
    disposition = await bench.message(B, C, branches=branches)
    bench.mta.manners.up = False
    await bench.handle(disposition)
    released = msgspec.structs.replace(
        disposition,
        branches=(Branch(recipients=(C,), action=Action.DELIVER, rule="q", reason=""),),
        released_by="admin",
        release="01RELEASE",
    )
    await bench.handle(released)
    assert len(bench.waiting()) == 2
    bench.mta.manners.up = True
    await bench.run(61)
    assert sorted(bench.ends()) == [(B, State.DELIVERED), (C, State.DELIVERED)]


async def test_outcomes_that_the_broker_does_not_take_are_kept_and_nothing_is_sent_twice(bench: Bench) -> None:
    bench.mta.manners.recipients = {B: (450, "4.2.1 busy")}
    await bench.deliver()
    bench.mta.manners.recipients = {}
    bench.mta.held = asyncio.Event()
    await bench.run(61)
    bench.bus.down = True
    bench.mta.held.set()
    await eventually(lambda: arrived(bench) == [(B,)])
    await bench.run(4000)
    assert arrived(bench) == [(B,)]
    bench.bus.down = False
    await eventually(lambda: bench.ends() == [(B, State.DELIVERED)])
    await eventually(lambda: not bench.waiting())


# --- what is slow


async def test_a_slow_attempt_lets_the_loop_go_on() -> None:
    bench = Bench(relay_patience_seconds=0.05)
    await bench.delivery.assigned(ALL)
    bench.mta.held = asyncio.Event()
    disposition = await bench.message()
    assert await bench.handle(disposition) == []
    assert [entry.reply for entry in bench.waiting()] == ["the first attempt is under way"]
    assert await bench.handle(disposition) == []
    bench.mta.held.set()
    await eventually(lambda: bench.ends() == [(B, State.DELIVERED)])
    await bench.run(100)
    assert arrived(bench) == [(B,)]
    assert not bench.waiting()
    await bench.delivery.close()


async def test_a_crowd_is_put_off_and_comes_soon() -> None:
    bench = Bench(relay_connections=1, relay_crowd=2)
    await bench.delivery.assigned(ALL)
    bench.mta.held = asyncio.Event()
    tasks = [asyncio.create_task(bench.deliver(f"r{n}@example.test")) for n in range(6)]
    await eventually(lambda: len(bench.waiting()) == 3)
    bench.mta.held.set()
    await asyncio.gather(*tasks)
    await bench.run(5)
    assert len(bench.ends()) == 6
    assert bench.mta.most_at_once == 1
    await bench.delivery.close()


async def test_large_messages_wait_for_memory() -> None:
    bench = Bench(relay_memory_bytes=len(BODY) + 1)
    await bench.delivery.assigned(ALL)
    bench.mta.held = asyncio.Event()
    tasks = [asyncio.create_task(bench.deliver(f"r{n}@example.test")) for n in range(5)]
    for _ in range(100):
        await asyncio.sleep(0)
    assert [call for call, _ in bench.store.calls].count("get") == 1
    bench.mta.held.set()
    await asyncio.gather(*tasks)
    assert len(bench.ends()) == 5
    await bench.delivery.close()


async def test_letting_go_of_partitions_ends_what_is_under_way(bench: Bench) -> None:
    bench.mta.held = asyncio.Event()
    bench.delivery = bench.another()
    short = Bench(bench.bus, bench.store, relay_patience_seconds=0.02, relay_drain_seconds=0.05)
    short.mta.held = asyncio.Event()
    await short.delivery.assigned(ALL)
    await short.deliver()
    await short.delivery.revoked(ALL)
    assert not short.waiting()
    assert short.mta.open == 0
    short.mta.held.set()
    await short.run(4000)
    assert not short.ends()  # it is the next owner's
    next_owner = Bench(bench.bus, bench.store)
    await next_owner.delivery.assigned(ALL)
    await next_owner.run(1)
    assert next_owner.ends() == [(B, State.DELIVERED)]
    await next_owner.delivery.close()
    await short.delivery.close()


async def test_nothing_begins_in_partitions_that_are_being_let_go() -> None:
    bench = Bench(relay_patience_seconds=0.02, relay_drain_seconds=0.2)
    await bench.delivery.assigned(ALL)
    bench.mta.manners.recipients = {C: (450, "4.2.1 busy")}
    await bench.deliver(C)
    bench.mta.manners.recipients = {}
    bench.mta.held = asyncio.Event()
    await bench.deliver(B)
    leaving = asyncio.create_task(bench.delivery.revoked(ALL))
    await asyncio.sleep(0)
    bench.clock.advance(3600)
    bench.delivery.queue.tick()
    bench.mta.held.set()
    await leaving
    assert arrived(bench) == [(B,)]
    assert bench.ends() == [(B, State.DELIVERED)]
    await bench.delivery.close()


async def test_a_stop_is_heard_even_as_something_wakes_the_queue(bench: Bench) -> None:
    """asyncio.wait_for loses a cancellation that comes as its wait ends; the queue then ran for ever."""
    bench.mta.manners.recipients = {B: (450, "4.2.1 busy")}
    await bench.delivery.start()
    for turns in range(30):
        await bench.deliver()  # its entry wakes the queue
        for _ in range(turns % 6):
            await asyncio.sleep(0)
        async with asyncio.timeout(2):
            await bench.delivery.close()
        await bench.delivery.start()


async def test_the_whole_loop_with_crashes() -> None:
    """Every recipient ends exactly once in the log, though the consumer dies again and again."""
    bench = Bench(relay_patience_seconds=0.02)
    wanted = []
    for number in range(40):
        disposition = await bench.message(f"r{number}@example.test")
        wanted.append((f"r{number}@example.test", State.DELIVERED))
        await bench.bus.publish([disposition])
    for lives in range(6):
        bench.mta.manners.up = lives % 2 == 1
        delivery = bench.another()
        await delivery.start()
        source = bench.bus.source("delivery", (DISPOSITIONS,))
        stop = asyncio.Event()
        consumer = Consumer("delivery", source, delivery, bench.bus, bench.clock, max_in_flight=5)
        task = asyncio.create_task(consumer.run(stop))
        await asyncio.wait({task}, timeout=0.05)
        bench.clock.advance(2)
        if lives < 5:
            source.crash()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await delivery.close()
    await eventually(lambda: len(bench.ends()) >= 40)
    stop.set()
    await task
    await delivery.close()
    assert sorted(bench.ends()) == sorted(wanted)
    assert sorted(to for (to,) in arrived(bench)) == sorted(to for to, _ in wanted)
