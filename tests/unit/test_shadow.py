"""Scanners that look on: what they say is recorded, and nothing else of them comes through."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.catalog import DEADLETTERS, RECEIVED, SHADOWS
from schemas.events import Contact, Customer, Received, Rescan, SenderEntry, Shadow, Status, Verdict
from services.cli.settings_file import read as read_settings
from services.cli.shadow import tell, write
from services.core.clock import ManualClock
from services.core.errors import ConfigError, ObjectNotFound, StoreUnavailable, UnreadableEvent
from services.core.senders import Senders
from services.core.stored import kept_key
from services.replay.decide import Beside
from services.replay.promotion import Promotion, objections, promotion
from services.replay.shadows import Compared, Comparison
from services.runtime.aside import NarrowBus, NotAllowed
from services.runtime.bus import Record
from services.runtime.fakes import MemoryBus
from services.scanners.app import ScannerService
from services.scanners.briefing import Briefings
from services.scanners.contract import Finding, Reason, unavailable
from services.scanners.shadow.app import STALE, KeptToo, ShadowService
from services.scanners.shadow.config import read
from tests.samples import NOW, received, verdict
from tests.unit.test_scanners_app import SPEC, Scans, record

TOLD = (("GATEPOST_YARA_DIR", "/rules/new"),)


def nobody(_: str) -> Customer | None:
    return None


def shadow(answer: Finding | StoreUnavailable, now: float = NOW) -> ShadowService:
    clock = ManualClock(now)
    return ShadowService("virus-new", ScannerService(SPEC, Scans(answer), Briefings(nobody), clock), clock, TOLD)


# --- the service


async def test_it_records_what_it_would_have_said_and_nothing_else() -> None:
    service = shadow(Finding(status=Status.VIRUS, score=100.0, contact="00ff"))
    (said,) = await service.handle(record(received()))
    assert isinstance(said, Shadow)
    assert (said.name, said.verdict.status, said.verdict.contact) == ("virus-new", Status.VIRUS, "")
    assert said.settings == TOLD
    assert service.group == "shadow-virus-new"


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


async def test_what_it_missed_while_it_was_away_is_passed_over() -> None:
    late = shadow(Finding(status=Status.CLEAN), NOW + STALE + 1)
    assert list(await late.handle(record(received()))) == []
    assert len(await shadow(Finding(status=Status.CLEAN), NOW + STALE - 1).handle(record(received()))) == 1


async def test_of_what_is_done_it_sees_the_copy_that_the_customer_keeps() -> None:
    message = received()

    class Kept:
        async def scan(self, scanner: str, received: Received, briefing: bytes) -> Finding:  # noqa: ARG002
            if received.key != kept_key(message.key):
                raise ObjectNotFound(received.key)
            return Finding(status=Status.SPAM)

    assert (await KeptToo(Kept()).scan("virus", message, b"")).status is Status.SPAM


async def test_no_other_topic_can_be_written_from_where_it_stands() -> None:
    bus = MemoryBus()
    narrow = NarrowBus(bus, (SHADOWS, DEADLETTERS))
    said = Shadow(name="virus-new", customer="example", verdict=verdict(received(), "virus"))
    await narrow.publish([said])
    for item in (said.verdict, Contact(customer="example", digest="00ff", at=NOW)):
        with pytest.raises(NotAllowed):
            await narrow.publish([said, item])
    assert [entry.key async for entry in bus.read(SHADOWS)] == [said.verdict.id]
    assert [entry async for entry in narrow.read(SHADOWS)]


# --- its settings


def test_shadows_are_named_and_told_what_the_live_ones_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "New_Rules"
    folder.mkdir()
    shadows = read(
        {
            "GATEPOST_SHADOW": f"virus@{folder}, second=content",
            "GATEPOST_SHADOW_CONTENT_MODEL": "/models/b",
            "GATEPOST_SHADOW_RSPAMD": "http://user:secret@rspamd:11333",
            "GATEPOST_SHADOW_SCANNER_WORKERS": "2",
            "GATEPOST_YARA_DIR": "/rules/old",
            "GATEPOST_ARC_SEALERS": "lists.example",
        }
    )
    assert shadows.scanners == {"virus-new-rules": "virus", "second": "content"}
    assert (shadows.config.yara_dir, shadows.config.content_model) == (str(folder), "/models/b")
    assert (shadows.config.rspamd, shadows.config.scanner_workers) == ("http://user:secret@rspamd:11333", 2)
    assert shadows.config.arc_sealers == ("lists.example",)  # else as the live ones
    assert shadows.settings == {
        "virus-new-rules": (("GATEPOST_YARA_DIR", str(folder)),),
        "second": (("GATEPOST_CONTENT_MODEL", "/models/b"), ("GATEPOST_RSPAMD", "")),  # no secret in an event
    }


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, "names no scanner"),
        ({"GATEPOST_SHADOW": "virsu"}, "no scanner is called virsu"),
        ({"GATEPOST_SHADOW": "auth@/"}, "auth reads no folder of rules"),
        ({"GATEPOST_SHADOW": "virus@/nowhere/at/all"}, "is no folder"),
        ({"GATEPOST_SHADOW": "virus,virus"}, "two shadows are called virus"),
        ({"GATEPOST_SHADOW": "New Rules=virus"}, "is no name"),
        ({"GATEPOST_SHADOW": "virus", "GATEPOST_SHADOW_YARADIR": "x"}, "GATEPOST_SHADOW_YARADIR"),
        ({"GATEPOST_SHADOW": "virus", "GATEPOST_SHADOW_STORE": "x"}, "GATEPOST_SHADOW_STORE"),
    ],
)
def test_what_can_not_be_meant_is_told(environ: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read(environ)


# --- the report


def said(of: Received, status: Status = Status.CLEAN, **changes: object) -> Shadow:
    return Shadow(
        name="virus-new", customer=of.customer, verdict=verdict(of, "virus", status, **changes), settings=TOLD
    )


def compared(
    messages: list[Received], live: list[Verdict], shadows: list[Shadow], senders: Senders | None = None
) -> Compared:
    comparison = Comparison(shadows, {"example": Customer(id="example")}, Beside(senders))
    for message in messages:
        comparison.receive(message)
    for answer in live:
        comparison.answer(answer)
    (found,) = comparison.close()
    return found


def one(**changes: object) -> Received:
    return received(plan=("virus",), **changes)


def test_the_report_says_who_flags_what_and_what_would_have_followed() -> None:
    same, more, less, silent, gone, unseen = (one(received_at=NOW + n) for n in (0, 1, 2, 3, 5, 4))
    found = compared(
        [same, more, less, silent, unseen, gone],
        [verdict(each, "virus") for each in (same, more, silent, unseen, gone)]
        + [verdict(less, "virus", Status.VIRUS, elapsed_ms=4.0)],
        [
            said(same, elapsed_ms=2.0),
            said(same, elapsed_ms=2.0),  # a second answer after a crash: the message counts once
            said(more, Status.VIRUS),
            said(less),
            said(silent, Status.UNAVAILABLE, reason="time"),
            said(gone, Status.GONE),
        ],
    )
    assert (found.received, found.seen, found.gone, found.compared) == (6, 4, 1, 3)
    assert found.kinds == {("clean", "clean"): 1, ("clean", "virus"): 1, ("virus", "clean"): 1}
    assert found.otherwise == {("deliver", "quarantine"): 1, ("quarantine", "deliver"): 1}
    assert found.recipients == 2
    (example,) = found.examples["deliver", "quarantine"]
    assert (example.id, example.changes) == (
        more.id,
        ("virus: clean 0.0 before, virus 0.0 now (virus found it)",),
    )
    assert found.unavailable == {"time": 1}
    assert (found.silent_share, found.live_silent_share) == (0.25, 0.0)


def test_a_live_scanner_that_answered_late_is_compared_by_its_answer_and_counted_as_unavailable() -> None:
    message = one()
    found = compared(
        [message],
        [verdict(message, "virus", Status.UNAVAILABLE), verdict(message, "virus", Status.VIRUS)],
        [said(message, Status.VIRUS)],
    )
    assert (found.kinds, found.live_silent_share) == ({("virus", "virus"): 1}, 1.0)


def test_what_policy_still_waits_for_is_not_compared() -> None:
    message = received(plan=("auth", "virus"))
    found = compared([message], [verdict(message, "virus")], [said(message, Status.VIRUS)])
    assert (found.compared, found.undecided) == (0, 1)


def test_a_scanner_that_is_not_in_the_plan_is_compared_with_nothing() -> None:
    message = received(plan=("auth",))
    found = compared([message], [verdict(message, "auth")], [said(message, Status.VIRUS)])
    assert found.kinds == {("-", "virus"): 1}
    assert found.otherwise == {("deliver", "quarantine"): 1}


def test_settings_that_changed_in_between_are_noticed() -> None:
    first, second = one(), one()
    live = [verdict(first, "virus"), verdict(second, "virus")]
    assert not compared([first, second], live, [said(first), said(second)]).changed
    other = Shadow(name="virus-new", customer="example", verdict=verdict(second, "virus"))
    assert compared([first, second], live, [said(first), other]).changed


def test_a_list_of_senders_counts_as_it_does_for_policy() -> None:
    message = one()
    senders = Senders()
    senders.apply(SenderEntry(customer="example", whom="*", sender="@sender.test", approved=False, by="x", at=NOW))
    found = compared([message], [verdict(message, "virus")], [said(message, Status.VIRUS)], senders)
    assert found.otherwise == {}  # held either way


# --- promotion


def shown(**changes: object) -> Compared:
    found = Compared("virus-new", "virus", TOLD, received=1_000, seen=1_000, compared=1_000)
    found.engines["1, rules b"] = 1_000
    found.live_engines["1, rules a"] = 1_000
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def test_who_has_shown_enough_may_be_promoted() -> None:
    assert objections(shown()) == []
    change = promotion(shown(), ("auth", "virus"))
    assert (change.settings, change.by_hand, change.same) == ({"GATEPOST_YARA_DIR": "/rules/new"}, (), False)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"compared": 99}, "100 are the least"),
        ({"unavailable": {"time": 20}}, "such mail is held"),
        ({"seen": 500}, "some kinds of mail alone"),
        ({"engines": {"1, rules b": 500, "1, rules c": 500}}, "several versions"),
        ({"changed": True}, "a later one"),
    ],
)
def test_who_has_not_is_not(changes: dict[str, object], told: str) -> None:
    (said,) = objections(shown(**changes))
    assert told in said


def test_a_scanner_that_is_not_in_the_plan_comes_into_it() -> None:
    change = promotion(shown(settings=()), ("auth", "content"))
    assert change.settings == {"GATEPOST_SCANNERS": "auth,content,virus"}


def test_what_no_event_carries_is_left_to_a_person() -> None:
    change = promotion(shown(settings=(("GATEPOST_RSPAMD", ""),)), ("virus",))
    assert (change.settings, change.by_hand) == ({}, ("GATEPOST_RSPAMD",))


def test_what_is_live_already_is_not_promoted_twice() -> None:
    found = shown()
    found.live_engines.clear()
    found.live_engines["1, rules b"] = 10
    assert promotion(found, ("virus",)).same
    found.settings = (("GATEPOST_ARC_SEALERS", "lists.example"),)  # no engine's version tells that
    assert not promotion(found, ("virus",)).same


# --- where it is written


def test_a_promotion_is_written_into_the_settings_and_stays_there(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("GATEPOST_SHADOW=virus@/rules/new\n")
    change = Promotion({"GATEPOST_YARA_DIR": "/rules/new"}, by_hand=("GATEPOST_RSPAMD",))
    told = write("virus-new", change, file)
    assert read_settings(file) == {"GATEPOST_SHADOW": "virus@/rules/new", "GATEPOST_YARA_DIR": "/rules/new"}
    assert "GATEPOST_RSPAMD, as the shadow has it" in told


def test_what_would_not_count_is_not_written(tmp_path: Path) -> None:
    """The environment is the operator's word: `gatepost up` would go on with what stands there."""
    file = tmp_path / "settings.env"
    change = Promotion({"GATEPOST_SCANNERS": "auth,content,virus"})
    with pytest.raises(ConfigError, match="change it there: GATEPOST_SCANNERS=auth,content,virus"):
        write("content", change, file, given=("GATEPOST_DNS", "GATEPOST_SCANNERS"))
    assert not file.exists()


def test_where_a_chart_is_the_authority_it_says_what_to_change_there() -> None:
    told = tell("new-rules", Promotion({"GATEPOST_YARA_DIR": "/rules/new"}))
    assert "shadows: {new-rules: {promoted: true}}" in told
    assert "GATEPOST_YARA_DIR=/rules/new" in told
