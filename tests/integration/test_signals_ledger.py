"""The ledger of the Faust app on a real Kafka: one message that everybody has read and nobody holds is told of."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.catalog import DISPOSITIONS, RECEIVED, SIGNALS, partition_of
from schemas.events import Action, Branch, Deferred, Disposition, Outcome, Received, Signal, State, Status
from services.core.ids import message_id
from services.core.signals import Kind
from services.runtime.kafka import KafkaBus
from tests.eventually import eventually
from tests.integration.test_signals import App
from tests.samples import received

WITHIN = 60.0  # seconds: what is promised


@pytest.fixture
async def bus(kafka: str) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(kafka, "ledger-test")
    await bus.start()
    yield bus
    await bus.close()


def message(partition: int) -> Received:
    while True:
        event = received(id=message_id(time.time(), os.urandom), received_at=time.time(), customer="ledger-test")
        if partition_of(event.id, RECEIVED.partitions) == partition:
            return event


def decided(of: Received, action: Action) -> Disposition:
    branch = Branch(recipients=of.envelope.recipients, action=action, rule="r", reason="x")
    return Disposition(received=of, branches=(branch,), status=Status.CLEAN, score=0.0, decided_at=time.time())


async def read_on(kafka: str, group: str, topic: str, partition: int) -> None:
    """Commit a group's offset at the end of a partition, as a service does that has handled all of it."""
    slot = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([slot])
        await consumer.commit({slot: (await consumer.end_offsets([slot]))[slot]})
    finally:
        await consumer.stop()


async def test_a_lost_message_is_told_within_a_minute_and_what_waits_is_not(
    kafka: str, bus: KafkaBus, tmp_path: Path
) -> None:
    partition = 3
    lost, waits, held, done = (message(partition) for _ in range(4))
    app = App(kafka, tmp_path)
    await app.start()
    try:
        await eventually(lambda: bool(app.said("event=counting")), 150.0)  # the start is not what is promised
        began = time.monotonic()
        relayed, kept = decided(waits, Action.DELIVER), decided(held, Action.QUARANTINE)
        who = waits.envelope.recipients
        await bus.publish([lost, waits, held, done])
        await bus.publish([relayed, kept])
        await bus.publish(
            [
                Deferred(
                    disposition=relayed, branch=0, recipients=who, attempts=1, since=0.0, next_at=0.0, reply="later"
                ),
                Outcome(
                    id=done.id,
                    customer=done.customer,
                    key=done.key,
                    recipients=who,
                    total=1,
                    state=State.DELIVERED,
                    at=time.time(),
                    received_at=done.received_at,
                ),
            ]
        )
        await read_on(kafka, "policy", RECEIVED.name, partition)
        await read_on(kafka, "delivery", DISPOSITIONS.name, partition)
        await eventually(lambda: bool(app.said(f"id={lost.id} ")), WITHIN)
        took = time.monotonic() - began
        assert took < WITHIN
        assert not any(app.said(each.id) for each in (waits, held, done))
        told = [
            record.event
            async for record in bus.read(SIGNALS)
            if isinstance(record.event, Signal) and record.event.customer == "ledger-test"
        ]
        assert told[-1].kind == Kind.LEDGER_IMBALANCE
        assert (told[-1].subject, told[-1].count) == (f"ledger-test/{partition}", 1)
    finally:
        await app.end(signal.SIGTERM)
    assert not app.said("Traceback"), "\n".join(app.log)
