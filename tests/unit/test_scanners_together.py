"""All scanners in one group: one record in, all verdicts out, and what fails is asked again alone."""

from __future__ import annotations

import pytest

from schemas.events import DeadLetter, Received, Rescan, Status, Verdict
from services.core.clock import ManualClock
from services.core.errors import EngineUnavailable, GatepostError, StoreUnavailable, UnreadableEvent
from services.scanners.app import ScannerService
from services.scanners.briefing import Briefings
from services.scanners.contract import Cost, Finding, Reason, Spec
from services.scanners.together import Together
from tests.samples import NOW, received
from tests.unit.test_scanners_app import record

CLEAN = Finding(status=Status.CLEAN)


class Scans:
    """A pool in which each scanner answers what the test wants, the last answer again and again."""

    def __init__(self, **answers: list[Finding | GatepostError]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def scan(self, scanner: str, received: Received, briefing: bytes) -> Finding:  # noqa: ARG002
        self.asked.append(scanner)
        answers = self.answers[scanner]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, GatepostError):
            raise answer
        return answer


def together(scans: Scans) -> Together:
    clock, briefings = ManualClock(NOW), Briefings(lambda _customer: None)
    specs = [Spec(name, "1", Cost.CPU, timeout=1.0) for name in scans.answers]
    return Together([ScannerService(spec, scans, briefings, clock) for spec in specs])


async def test_every_scanner_answers() -> None:
    scans = Scans(auth=[CLEAN], virus=[Finding(status=Status.VIRUS)])
    (verdict,) = await together(scans).handle(record(received()))
    assert isinstance(verdict, Verdict)
    assert [(v.scanner, v.status) for v in verdict.answers] == [
        ("auth", Status.CLEAN),
        ("virus", Status.VIRUS),
    ]


async def test_what_is_no_verdict_stays_an_event_of_its_own() -> None:
    crashed = Finding(status=Status.UNAVAILABLE, reason=Reason.CRASH.value)
    verdict, letter = await together(Scans(auth=[crashed], virus=[CLEAN])).handle(record(received()))
    assert isinstance(verdict, Verdict)
    assert isinstance(letter, DeadLetter)
    assert [(v.scanner, v.status, v.also) for v in verdict.answers] == [
        ("auth", Status.UNAVAILABLE, ()),
        ("virus", Status.CLEAN, ()),
    ]


async def test_a_rescan_asks_those_that_it_names() -> None:
    scans = Scans(auth=[CLEAN], virus=[CLEAN])
    rescan = Rescan(received=received(), scanners=("virus",), attempt=1, origin=77, asked_at=NOW)
    (verdict,) = await together(scans).handle(record(rescan))
    assert isinstance(verdict, Verdict)
    assert (verdict.scanner, verdict.origin, scans.asked) == ("virus", 77, ["virus"])


async def test_only_what_failed_is_asked_again() -> None:
    scans = Scans(auth=[CLEAN], virus=[EngineUnavailable("no worker"), CLEAN])
    service = together(scans)
    with pytest.raises(EngineUnavailable):
        await service.handle(record(received()))
    (verdict,) = await service.handle(record(received()))
    assert isinstance(verdict, Verdict)
    assert [v.scanner for v in verdict.answers] == ["auth", "virus"]
    assert scans.asked == ["auth", "virus", "virus"]
    await service.handle(record(received()))  # the same record once more, as after a crash: nothing is remembered
    assert scans.asked[3:] == ["auth", "virus"]


async def test_what_is_over_is_forgotten() -> None:
    scans = Scans(auth=[CLEAN], virus=[StoreUnavailable("down")])
    service = together(scans)
    for let_go in (service.finished(record(received())), service.revoked(frozenset())):
        with pytest.raises(StoreUnavailable):
            await service.handle(record(received()))
        await let_go
        scans.asked.clear()
        with pytest.raises(StoreUnavailable):
            await service.handle(record(received()))
        assert scans.asked == ["auth", "virus"]
        await service.revoked(frozenset())


async def test_what_stays_wrong_comes_before_what_is_temporary() -> None:
    scans = Scans(auth=[StoreUnavailable("down")], virus=[UnreadableEvent("no")])
    with pytest.raises(UnreadableEvent):
        await together(scans).handle(record(received()))
