"""A scanner's service: a record in, a verdict out; what is temporary stays so."""

from __future__ import annotations

import base64

import pytest

from schemas import wire
from schemas.catalog import OUTCOMES, RECEIVED, RESCANS
from schemas.events import (
    Customer,
    DeadLetter,
    Event,
    Outcome,
    Person,
    Protect,
    Received,
    Rescan,
    State,
    Status,
    Verdict,
)
from services.core.clock import ManualClock
from services.core.errors import EngineUnavailable, GatepostError, ObjectNotFound, StoreUnavailable, UnreadableEvent
from services.runtime.bus import Record
from services.scanners.app import ScannerService
from services.scanners.briefing import Briefing, Briefings, brief, decode
from services.scanners.contract import Cost, Finding, Reason, Spec, unavailable
from tests.samples import NOW, received

CUSTOMER = Customer(id="example", protect=Protect(persons=(Person(name="Erika Mustermann"),)))
SPEC = Spec("virus", "1", Cost.CPU, timeout=1.0)


class Scans:
    """A pool that answers what the test wants."""

    def __init__(self, answer: Finding | GatepostError) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []
        self.told = Briefing()

    async def scan(self, scanner: str, received: Received, briefing: bytes) -> Finding:
        self.asked.append((scanner, received.id))
        self.told = decode(briefing)
        if isinstance(self.answer, GatepostError):
            raise self.answer
        return self.answer


def record(event: Event, offset: int = 5) -> Record:
    topic = {Received: RECEIVED, Rescan: RESCANS}.get(type(event), OUTCOMES)
    return Record(topic, 2, offset, "key", event, NOW)


def service(answer: Finding | GatepostError) -> ScannerService:
    return ScannerService(SPEC, Scans(answer), Briefings({CUSTOMER.id: CUSTOMER}.get), ManualClock(NOW))


async def test_a_verdict_follows_a_received_message() -> None:
    event = received()
    (verdict,) = await service(Finding(status=Status.VIRUS, score=100.0)).handle(record(event))
    assert isinstance(verdict, Verdict)
    assert (verdict.id, verdict.customer, verdict.scanner, verdict.version) == (event.id, "example", "virus", "1")
    assert (verdict.status, verdict.score, verdict.origin, verdict.scanned_at) == (Status.VIRUS, 100.0, 5, NOW)


async def test_a_rescan_keeps_the_origin() -> None:
    rescan = Rescan(received=received(), scanners=("virus",), attempt=1, origin=77, asked_at=NOW)
    (verdict,) = await service(Finding(status=Status.CLEAN)).handle(record(rescan))
    assert isinstance(verdict, Verdict)
    assert verdict.origin == 77


async def test_a_rescan_of_others_is_nothing_to_us() -> None:
    rescan = Rescan(received=received(), scanners=("auth",), attempt=1, origin=77, asked_at=NOW)
    assert await service(Finding(status=Status.CLEAN)).handle(record(rescan)) == ()


async def test_a_scan_is_told_of_the_customer() -> None:
    scans = Scans(Finding(status=Status.CLEAN))
    known = {CUSTOMER.id: CUSTOMER}
    briefings = Briefings(known.get)
    await ScannerService(SPEC, scans, briefings, ManualClock(NOW)).handle(record(received()))
    assert scans.told == brief(CUSTOMER)
    assert scans.told.persons[0].name == "Erika Mustermann"
    assert briefings.of("example") is briefings.of("example")  # encoded once
    known["example"] = Customer(id="example", name="changed")
    assert decode(briefings.of("example")) == Briefing(customer="example")
    known.clear()
    assert decode(briefings.of("example")) == Briefing()


async def test_a_message_that_went() -> None:
    (verdict,) = await service(ObjectNotFound("key")).handle(record(received()))
    assert isinstance(verdict, Verdict)
    assert verdict.status is Status.GONE


@pytest.mark.parametrize("error", [StoreUnavailable("down"), EngineUnavailable("no worker")])
async def test_what_is_temporary_is_tried_again(error: GatepostError) -> None:
    with pytest.raises(type(error)):
        await service(error).handle(record(received()))


@pytest.mark.parametrize("reason", [Reason.CRASH, Reason.TIME, Reason.STORE])
async def test_a_message_that_kills_goes_to_the_dead_letters_too(reason: Reason) -> None:
    event = received()
    (verdict, letter) = await service(unavailable(reason)).handle(record(event))
    assert isinstance(verdict, Verdict)
    assert (verdict.status, verdict.reason) == (Status.UNAVAILABLE, reason.value)
    assert isinstance(letter, DeadLetter)
    assert (letter.topic, letter.partition, letter.offset, letter.group) == ("mail.received.v1", 2, 5, "scanner-virus")
    assert wire.decode(base64.b64decode(letter.value), Received) == event


async def test_an_engine_that_is_down_is_no_dead_letter() -> None:
    (verdict,) = await service(unavailable(Reason.ENGINE)).handle(record(received()))
    assert isinstance(verdict, Verdict)
    assert verdict.reason == "engine"


async def test_other_events_are_refused() -> None:
    event = Outcome(
        id="x", customer="c", key="k", recipients=(), total=1, state=State.DELIVERED, at=NOW, received_at=NOW
    )
    with pytest.raises(UnreadableEvent):
        await service(Finding(status=Status.CLEAN)).handle(record(event))
