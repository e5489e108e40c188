"""Scanners that look on: what they say is recorded, and nothing else of them comes through."""

from __future__ import annotations

import pytest

from schemas.catalog import RECEIVED
from schemas.events import Customer, Rescan, Shadow, Status
from services.core.clock import ManualClock
from services.core.errors import StoreUnavailable, UnreadableEvent
from services.replay.shadows import compare
from services.runtime.bus import Record
from services.scanners.app import ScannerService
from services.scanners.briefing import Briefings
from services.scanners.contract import Finding, Reason, unavailable
from services.scanners.shadow.app import ShadowService
from tests.samples import NOW, received, verdict
from tests.unit.test_scanners_app import SPEC, Scans, record


def shadow(answer: Finding | StoreUnavailable) -> ShadowService:
    return ShadowService("virus@new", ScannerService(SPEC, Scans(answer), Briefings({}.get), ManualClock(NOW)))


async def test_it_records_what_it_would_have_said_and_nothing_else() -> None:
    service = shadow(Finding(status=Status.VIRUS, score=100.0, contact="00ff"))
    (said,) = await service.handle(record(received()))
    assert isinstance(said, Shadow)
    assert (said.name, said.verdict.status, said.verdict.contact) == ("virus@new", Status.VIRUS, "")
    assert service.group == "shadow-virus@new"


async def test_a_message_that_kills_its_worker_is_no_dead_letter() -> None:
    (said,) = await shadow(unavailable(Reason.CRASH, "killed")).handle(record(received()))
    assert isinstance(said, Shadow)
    assert said.verdict.status is Status.UNAVAILABLE


async def test_it_answers_no_rescan_and_no_release() -> None:
    asked = Rescan(received=received(), scanners=("virus",), attempt=1, origin=7, asked_at=NOW, release="r")
    with pytest.raises(UnreadableEvent):
        await shadow(Finding(status=Status.CLEAN)).handle(Record(RECEIVED, 0, 1, "key", asked, NOW))


async def test_what_is_temporary_stays_so() -> None:
    with pytest.raises(StoreUnavailable):
        await shadow(StoreUnavailable("away")).handle(record(received()))


def test_the_report_says_who_flags_what_and_what_would_have_followed() -> None:
    same, more, less, silent = (received(plan=("virus",)) for _ in range(4))
    live = [verdict(each, "virus") for each in (same, more, silent)] + [verdict(less, "virus", Status.VIRUS)]
    said = [verdict(same, "virus"), verdict(more, "virus", Status.VIRUS), verdict(less, "virus")]
    said.append(verdict(silent, "virus", Status.UNAVAILABLE))
    shadows = [Shadow(name="virus@new", customer="example", verdict=each) for each in said]
    (found,) = compare(
        {each.id: each for each in (same, more, less, silent)},
        live,
        [*shadows, shadows[0]],
        {"example": Customer(id="example")},
    )
    assert (found.messages, found.agree, found.only_shadow, found.only_live, found.unavailable) == (4, 1, 1, 1, 1)
    assert found.otherwise == 2
    assert any(more.id in line and "deliver -> quarantine" in line for line in found.examples)
