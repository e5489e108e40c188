"""What an operator sees of the log: topics, events as lines, and dead letters; and back with them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from schemas.catalog import DEADLETTERS, RECEIVED
from schemas.events import DeadLetter
from services.core.clock import SystemClock
from services.core.errors import ObjectCorrupt
from services.runtime import groups
from services.runtime.aside import AsideBus
from services.runtime.consume import Consumer
from services.runtime.kafka import KafkaBus
from services.runtime.window import KafkaWindow, Span
from tests.contract.test_bus import Echo, Running
from tests.eventually import eventually
from tests.house.gatepost import Answer, gatepost
from tests.samples import received


@pytest.fixture
def environ(kafka: str, tmp_path: Path) -> dict[str, str]:
    """The addresses, as a service on a cluster has them."""
    return {"GATEPOST_KAFKA": kafka, "GATEPOST_STORE": str(tmp_path / "o"), "GATEPOST_DATABASE": "sqlite:///:memory:"}


async def run(environ: dict[str, str], *arguments: str) -> Answer:
    answer = await gatepost(*arguments, environ=environ)
    assert answer.code == 0, answer.err
    return answer


async def test_topics_are_listed_with_the_lag_of_their_groups(kafka: str, environ: dict[str, str]) -> None:
    bus = KafkaBus(kafka, "test")
    messages = [received() for _ in range(7)]
    await bus.publish(messages)
    service, name = Echo(), f"topics-{messages[0].id}"
    async with Running(bus, name, service):
        await eventually(lambda: messages[-1].id in service.finished_ids, 30)
    await bus.publish([received() for _ in range(5)])
    await bus.close()
    (line,) = [line for line in (await run(environ, "topics")).out.splitlines() if name in line]
    assert line.split()[0] == "mail.received.v1"
    assert line.split()[-1] == "5"
    lines = (await run(environ, "topics", "--partitions")).out.splitlines()
    assert len([line for line in lines if name in line]) <= RECEIVED.partitions
    assert sum(int(line.split()[-1]) for line in lines if name in line) == 5


async def test_events_are_printed_for_one_customer_since_a_time(kafka: str, environ: dict[str, str]) -> None:
    bus = KafkaBus(kafka, "test")
    acme, other = [received(customer="acme") for _ in range(3)], received(customer="other")
    await bus.publish([*acme, other])
    await bus.close()
    out = (await run(environ, "topics", "tail", "mail.received.v1", "--customer", "acme", "--since", "1h")).out
    assert {message.id for message in acme} <= set(out.split())
    assert other.id not in out
    assert "customer=acme" in out
    some = await run(environ, "topics", "tail", "mail.received.v1", "--limit", "2", "--json")
    entries = [json.loads(line) for line in some.out.splitlines()]
    assert len(entries) == 2
    assert entries[-1]["key"] == entries[-1]["event"]["id"]


async def test_a_topic_that_is_none_is_told(environ: dict[str, str]) -> None:
    answer = await gatepost("topics", "tail", "mail.recieved.v1", environ=environ)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "gatepost: there is no topic 'mail.recieved.v1'; `gatepost topics` lists them\n"


async def test_a_dead_letter_is_shown_without_content_and_published_again(kafka: str, environ: dict[str, str]) -> None:
    bus = KafkaBus(kafka, "test")
    bad, service = received(customer="acme"), Echo()
    service.fail[bad.id] = [ObjectCorrupt("no header")]
    name = f"letters-{bad.id}"
    await bus.publish([bad])
    async with Running(bus, name, service):
        await eventually(lambda: bad.id in service.finished_ids, 30)
    (line,) = [line for line in (await run(environ, "deadletters", "list")).out.splitlines() if name in line]
    number = line.split()[0]
    assert "ObjectCorrupt: no header" in line
    shown = (await run(environ, "deadletters", "show", number)).out
    assert f"key:       {bad.id}" in shown
    assert "customer:  acme" in shown
    assert bad.envelope.recipients[0] not in shown
    ends = {(each.topic, each.partition): each.end for each in await groups.offsets(kafka, [RECEIVED], groups=False)}
    (letter,) = [
        record.event
        async for record in bus.read(DEADLETTERS)
        if isinstance(record.event, DeadLetter) and record.event.group == name
    ]
    await run(environ, "deadletters", "retry", number)
    again = [raw async for raw in KafkaWindow(kafka, "test", [Span(RECEIVED, tail=1)]).records()]
    (back,) = [raw for raw in again if raw.partition == letter.partition]
    assert (back.key, back.offset) == (bad.id.encode(), ends["mail.received.v1", letter.partition])
    better = Echo()
    async with Running(bus, name, better):
        await eventually(lambda: bad.id in better.finished_ids, 30)
    await bus.close()
    nothing = await gatepost("deadletters", "retry", "99999", environ=environ)
    assert nothing.code == 2
    assert "there is no letter 99999" in nothing.err


async def test_a_window_gives_every_record_once_in_the_order_of_time_and_leaves_no_trace(kafka: str) -> None:
    bus = KafkaBus(kafka, "test")
    first = [received() for _ in range(300)]
    await bus.publish(first)
    clock = SystemClock()
    middle = clock.now()
    second = [received() for _ in range(300)]
    await bus.publish(second)
    window = KafkaWindow(kafka, "test", [Span(RECEIVED, since=middle)])
    service = Echo()
    before = await groups.offsets(kafka, [RECEIVED])
    consumer = Consumer("nobody", window, service, AsideBus(), clock)

    running = asyncio.create_task(consumer.run(window.exhausted))
    await asyncio.wait_for(running, 60)
    assert sorted(service.finished_ids) == sorted(message.id for message in second)
    assert await groups.offsets(kafka, [RECEIVED]) == before
    times = [raw.timestamp async for raw in KafkaWindow(kafka, "test", [Span(RECEIVED)]).records()]
    assert times == sorted(times)
    await bus.close()
