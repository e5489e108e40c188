"""What a process says of itself: counts, health and readiness with reasons, lines as objects, spans across topics."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from schemas.catalog import RECEIVED
from schemas.events import Event, Outcome, State, Status
from services.core.clock import ManualClock
from services.runtime import metrics
from services.runtime.bus import Record, Stateless, Tombstone
from services.runtime.consume import Consumer
from services.runtime.fakes import MemoryBus
from services.runtime.health import BEAT_MOST, POLL_MOST, Health
from services.runtime.logs import _Json
from services.runtime.tracing import TRACING
from tests.eventually import eventually
from tests.samples import NOW, received, verdict


def said(answer: tuple[dict[str, str], bytes]) -> Any:
    return json.loads(answer[1])


# --- health


def test_a_process_is_alive_while_its_loop_turns_and_its_consumers_poll() -> None:
    clock = ManualClock()
    health = Health(clock.monotonic)
    health.polled("policy")
    assert said(health.alive()) == {"alive": True, "reasons": {}, "last_poll_seconds": {"policy": 0.0}}
    clock.advance(BEAT_MOST + 1)
    assert said(health.alive())["reasons"] == {"loop": "stands still for 31 s"}
    clock.advance(POLL_MOST)
    health.beat()
    assert said(health.alive())["reasons"] == {"policy": "last poll 151 s ago"}
    health.left("policy")
    assert said(health.alive())["alive"] is True


def test_a_process_is_ready_when_it_waits_for_nothing() -> None:
    health = Health(ManualClock().monotonic)
    assert said(health.readiness()) == {"ready": True, "reasons": {}}
    health.waits("broker", "waiting for the broker: refused")
    assert said(health.readiness()) == {"ready": False, "reasons": {"broker": "waiting for the broker: refused"}}
    health.ready("broker")
    assert health.readiness()[0] == {}


def test_a_process_that_can_do_without_something_is_ready_and_says_what_it_misses() -> None:
    health = Health(ManualClock().monotonic)
    health.misses("database", "waiting for the database: refused")
    assert health.readiness()[0] == {}
    missing = {"database": "waiting for the database: refused"}
    assert said(health.readiness()) == {"ready": True, "reasons": {}, "missing": missing}
    health.ready("database")
    assert said(health.readiness()) == {"ready": True, "reasons": {}}


# --- counts


def test_what_is_published_is_counted() -> None:
    message = received(received_at=NOW)
    before = metrics.value("gatepost_verdicts_total", scanner="virus", status="virus")
    delivered = metrics.value("gatepost_outcomes_total", state="delivered")
    doubtful = metrics.value("gatepost_possible_duplicates_total")
    outcome = Outcome(
        id=message.id,
        customer="example",
        key="k",
        recipients=("a", "b"),
        total=2,
        state=State.DELIVERED,
        at=NOW + 1,
        received_at=NOW,
        possible_duplicate=True,
    )
    metrics.published([message, verdict(message, "virus", Status.VIRUS), outcome, Tombstone(RECEIVED, "x")], NOW + 2)
    assert metrics.value("gatepost_verdicts_total", scanner="virus", status="virus") == before + 1
    assert metrics.value("gatepost_outcomes_total", state="delivered") == delivered + 2
    assert metrics.value("gatepost_possible_duplicates_total") == doubtful + 2


# --- lines


def line(template: str, *args: object) -> Any:
    record = logging.LogRecord("gatepost.x", logging.INFO, "f", 1, template, args, None)
    return json.loads(_Json().format(record))


def test_a_line_as_an_object_has_the_fields_of_its_template() -> None:
    found = line("id=%s event=held recipients=%d waited=%.3fs reason=%s", "01A", 3, 0.5, "a=b\nevent=forged")
    assert (found["id"], found["event"], found["recipients"], found["waited"]) == ("01A", "held", 3, 0.5)
    assert found["reason"] == "a=b\nevent=forged"
    assert found["level"] == "INFO"


def test_an_argument_outside_of_a_field_moves_no_other() -> None:
    found = line("could not read %s: id=%s", "a file", "01A")
    assert found["id"] == "01A"
    assert found["message"] == "could not read a file: id=01A"


def test_a_field_can_not_replace_the_lines_own() -> None:
    assert line("level=%s", "forged")["level"] == "INFO"


# --- spans


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    TRACING.start("test", {}, exporter)
    yield exporter
    TRACING.stop()


class Passing(Stateless):
    """Answers a message with a verdict."""

    async def handle(self, record: Record) -> list[Event | Tombstone]:
        assert record.event is not None
        return [verdict(received(id=record.key), "virus")]


async def test_a_trace_goes_on_across_topics(spans: InMemorySpanExporter) -> None:
    bus = MemoryBus()
    stop = asyncio.Event()
    consumer = Consumer("virus", bus.source("virus", [RECEIVED]), Passing(), bus, ManualClock())
    running = asyncio.create_task(consumer.run(stop))
    message = received()
    with TRACING.span("accept"):
        await bus.publish([message])
    await eventually(lambda: len(spans.get_finished_spans()) == 2)
    stop.set()
    await running
    accept, scan = spans.get_finished_spans()
    assert (accept.name, scan.name) == ("accept", "virus mail.received.v1")
    assert scan.parent is not None
    assert accept.context is not None
    assert scan.context is not None
    assert scan.parent.span_id == accept.context.span_id
    (raw,) = [raw for slot, records in bus.logs.items() if slot[0] == "mail.verdicts.v1" for raw in records]
    carried = dict(raw.headers)["traceparent"].decode()
    assert carried.split("-")[1:3] == [f"{scan.context.trace_id:032x}", f"{scan.context.span_id:016x}"]


async def test_without_a_collector_records_carry_nothing() -> None:
    bus = MemoryBus()
    TRACING.start("test", {})
    assert not TRACING.on
    with TRACING.span("accept"):
        await bus.publish([received()])
    assert all(raw.headers == () for records in bus.logs.values() for raw in records)


async def test_a_header_that_is_none_of_ours_begins_a_trace(spans: InMemorySpanExporter) -> None:
    with TRACING.span("x", "", [("traceparent", b"\xff" * 20), ("other", b"1")]):
        assert TRACING.headers()
    (span,) = spans.get_finished_spans()
    assert span.parent is None
