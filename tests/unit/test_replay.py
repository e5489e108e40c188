"""Replay tells exactly who would have been treated otherwise, and can't act."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from schemas.catalog import RECEIVED, TOPICS
from schemas.events import (
    Action,
    Customer,
    Disposition,
    Event,
    Evidence,
    Match,
    Received,
    Rule,
    SenderEntry,
    Status,
    Verdict,
)
from services.core.clock import ManualClock
from services.core.errors import ObjectNotFound
from services.core.senders import Senders
from services.core.stored import kept_key
from services.policy.decide import decide, merge, with_received
from services.replay.app import Candidate, Found, Replay, Wanted, run
from services.replay.decide import NOTHING_BESIDE, Beside, treated
from services.runtime.aside import AsideBus, ReadOnly, ReadOnlyStore
from services.runtime.fakes import MemoryBus
from services.runtime.fakes_store import MemoryStore
from services.runtime.fakes_window import MemoryWindow
from services.scanners.contract import Cost, Finding, Spec
from services.scanners.together import as_one
from tests.samples import NOW, received

CUSTOMER = Customer(id="example")
STRICT = Customer(
    id="example", rules=(Rule(name="no-bills", when=Match(evidence=("BILL",)), action=Action.QUARANTINE),)
)
VIRUS = Spec(name="virus", version="2", cost=Cost.CPU, timeout=1.0)


def verdicts(of: Received, **said: Status) -> list[Verdict]:
    return [
        Verdict(
            id=of.id,
            customer=of.customer,
            scanner=name,
            version="1",
            status=status,
            evidence=(Evidence(code="BILL", text="a bill"),) if of.envelope.reverse_path.startswith("bills@") else (),
            scanned_at=NOW,
            origin=0,
        )
        for name, status in said.items()
    ]


def history(of: Received, customer: Customer = CUSTOMER, **said: Status) -> list[Event]:
    """Return what the log holds of a message that was decided."""
    pending = with_received(None, of, 0)
    heard = verdicts(of, **said)
    for verdict in heard:
        pending = merge(pending, verdict)
    answer = decide(pending, customer, NOW)
    assert isinstance(answer, Disposition)
    return [of, *heard, answer]


def message(number: int = 0, sender: str = "alice@sender.test") -> Received:
    one = received(customer="example", plan=("content", "virus"), received_at=NOW + number)
    return msgspec.structs.replace(one, envelope=msgspec.structs.replace(one.envelope, reverse_path=sender))


class Pool:
    """Candidate scanners: what they say by message, and what the store still has."""

    def __init__(self, says: dict[str, Finding], there: set[str]) -> None:
        self._says = says
        self._there = there

    async def scan(self, scanner: str, received: Received) -> Finding:
        assert scanner == "virus"
        if received.key not in self._there:
            raise ObjectNotFound(received.key)
        return self._says.get(received.id, Finding(status=Status.CLEAN))


async def replayed(
    events: Sequence[Event],
    policy: Customer | None = None,
    pool: Pool | None = None,
    rescore: Finding | None = None,
    beside: Beside = NOTHING_BESIDE,
    **wanted: str,
) -> Found:
    bus = MemoryBus(ManualClock(NOW))
    await bus.publish(events)
    before = {slot: list(records) for slot, records in bus.logs.items()}
    what = Wanted(NOW - 1, NOW + 1_000, **wanted)
    service = Replay(
        what,
        today={"example": CUSTOMER},
        policy={} if policy is None else {policy.id: policy},
        candidates={} if pool is None else {"virus": Candidate(VIRUS, lambda _: rescore)},
        pool=pool,
        clock=ManualClock(NOW),
        beside=beside,
    )
    found = await asyncio.wait_for(run(service, MemoryWindow(bus, what.spans()), ManualClock(NOW)), 10)
    assert bus.logs == before  # not a record more, on any topic
    return found


async def test_the_same_rules_treat_everybody_the_same() -> None:
    events = [event for n in range(5) for event in history(message(n), content=Status.CLEAN, virus=Status.VIRUS)]
    found = await replayed(events, CUSTOMER)
    assert (found.messages, found.differences, found.incomplete) == (5, [], 0)


async def test_a_changed_rule_tells_whom_it_changes_and_why() -> None:
    bills = [message(n, "bills@sender.test") for n in range(3)]
    others = [message(n) for n in range(3, 9)]
    events = [event for one in [*bills, *others] for event in history(one, content=Status.CLEAN, virus=Status.CLEAN)]
    found = await replayed(events, STRICT)
    assert found.messages == 9
    assert {difference.id for difference in found.differences} == {one.id for one in bills}
    (first, *_) = found.differences
    assert (first.before.action, first.after.action, first.after.rule) == ("deliver", "quarantine", "no-bills")
    assert first.after.reason.startswith("a bill")
    assert not first.drifted


async def test_answers_that_came_in_one_record_are_joined_as_any() -> None:
    bill = message(sender="bills@sender.test")
    first, *middle, decided = history(bill, content=Status.CLEAN, virus=Status.CLEAN)
    together = [event for event in as_one(middle) if isinstance(event, Event)]
    assert len(together) == 1
    found = await replayed([first, *together, decided], STRICT)
    assert (found.messages, found.incomplete, len(found.differences)) == (1, 0, 1)


async def test_what_has_changed_without_the_candidate_is_told_as_that() -> None:
    events = history(message(sender="bills@sender.test"), STRICT, content=Status.CLEAN, virus=Status.CLEAN)
    (difference,) = (await replayed(events, CUSTOMER)).differences
    assert (difference.before.action, difference.after.action) == ("quarantine", "deliver")
    assert difference.drifted


async def test_a_blocked_sender_is_blocked_today_too() -> None:
    senders = Senders()
    senders.apply(SenderEntry(customer="example", whom="*", sender="a@b.test", approved=False, by="x", at=NOW))
    one = message(sender="a@b.test")
    known = Beside(senders)
    pending = with_received(None, one, 0)
    for verdict in verdicts(one, content=Status.CLEAN, virus=Status.CLEAN):
        pending = merge(pending, verdict)
    held = treated(pending, CUSTOMER, NOW, known)
    assert {treatment.action for treatment in held.values()} == {"quarantine"}
    events = history(one, content=Status.CLEAN, virus=Status.CLEAN)
    assert [each.drifted for each in (await replayed(events, CUSTOMER, beside=known)).differences] == [True]


async def test_a_rule_about_a_group_of_the_directory_is_about_who_is_in_it() -> None:
    one = message()
    rule = Rule(name="sales", when=Match(recipients=("directory:sales",)), action=Action.QUARANTINE)
    changed = msgspec.structs.replace(CUSTOMER, rules=(rule,))
    events = history(one, content=Status.CLEAN, virus=Status.CLEAN)
    assert not (await replayed(events, changed)).differences
    seller = one.envelope.recipients[0]
    beside = Beside(groups_of=lambda _, address: {"sales"} if address == seller else set())
    (difference,) = (await replayed(events, changed, beside=beside)).differences
    assert (difference.recipients, difference.after.rule) == ((seller,), "sales")


async def test_what_was_one_of_a_burst_is_replayed_as_one() -> None:
    one = msgspec.structs.replace(message(), plan=("outbreak", "virus"))
    first, *said, decided = history(one, outbreak=Status.CLEAN, virus=Status.CLEAN)
    assert isinstance(decided, Disposition)
    burst = Evidence(code="OUTBREAK", text="one of 90 alike", score=15.0)
    changes = {"evidence": (burst,), "scanners": ("outbreak/1=spam", "virus/1=clean")}
    found = await replayed([first, *said, msgspec.structs.replace(decided, **changes)], CUSTOMER)
    assert (found.messages, found.incomplete) == (1, 0)
    assert found.differences[0].after.action == "quarantine"


async def test_a_candidate_scanner_looks_at_what_is_there_and_at_kept_copies() -> None:
    there, kept, gone = message(0), message(1), message(2)
    bad = Finding(status=Status.VIRUS, score=100.0, evidence=(Evidence(code="VIRUS", text="a new rule"),))
    pool = Pool(dict.fromkeys((there.id, kept.id, gone.id), bad), {there.key, kept_key(kept.key)})
    events = [e for one in (there, kept, gone) for e in history(one, content=Status.CLEAN, virus=Status.CLEAN)]
    found = await replayed(events, pool=pool)
    assert {difference.id for difference in found.differences} == {there.id, kept.id}
    assert found.scans == {"object": 1, "kept": 1, "recorded": 1}
    assert found.differences[0].changes == ("virus: clean 0.0 before, virus 100.0 now (a new rule)",)
    assert found.differences[0].after.rule == "virus"


async def test_what_is_gone_is_judged_by_what_its_verdict_recorded() -> None:
    one = message()
    finding = Finding(status=Status.VIRUS, score=50.0)
    events = history(one, content=Status.CLEAN, virus=Status.CLEAN)
    found = await replayed(events, pool=Pool({}, set()), rescore=finding)
    assert [difference.id for difference in found.differences] == [one.id]
    assert found.scans == {"features": 1}


async def test_a_candidate_that_cannot_tell_would_hold() -> None:
    one = message()
    pool = Pool({one.id: Finding(status=Status.UNAVAILABLE, reason="engine")}, {one.key})
    (difference,) = (await replayed(history(one, content=Status.CLEAN, virus=Status.CLEAN), pool=pool)).differences
    assert difference.after.action == "hold"
    assert difference.after.reason == "virus could not tell"


async def test_only_what_was_asked_for_is_replayed() -> None:
    bills = [message(n, "bills@sender.test") for n in range(3)]
    events = [event for one in bills for event in history(one, content=Status.CLEAN, virus=Status.CLEAN)]
    assert (await replayed(events, STRICT, customer="other")).messages == 0
    assert (await replayed(events, STRICT, message=bills[1].id)).messages == 1


async def test_what_is_not_decided_yet_is_counted_and_left_out() -> None:
    one = message()
    found = await replayed([one, *verdicts(one, content=Status.CLEAN)], STRICT)
    assert (found.messages, found.incomplete) == (0, 1)


async def test_a_bus_aside_keeps_everything_to_itself() -> None:
    bus = AsideBus()
    await bus.publish(history(message(), content=Status.CLEAN, virus=Status.CLEAN))
    assert bus.counts[RECEIVED.name] == 1
    for topic in TOPICS:
        with pytest.raises(ReadOnly):
            bus.read(topic)
    assert not [name for name in vars(bus) if name != "counts"]  # nothing through which a record could leave


async def test_a_store_that_only_reads_can_neither_write_nor_delete() -> None:
    store = MemoryStore()
    await store.put("mail/a", [b"x"])
    reading = ReadOnlyStore(store)
    assert await reading.get("mail/a") == b"x"
    assert [stat.key async for stat in reading.list("mail")] == ["mail/a"]
    for write in (reading.put("mail/b", [b"y"]), reading.delete("mail/a"), reading.check()):
        with pytest.raises(ReadOnly):
            await write
    with pytest.raises(ReadOnly):
        reading.begin(0)
    assert store.objects == {"mail/a": b"x"}
