"""The scanners as a unit: from mail.received.v1 to mail.verdicts.v1, over the loop, the pool and real workers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

from schemas.catalog import RESCANS, VERDICTS
from schemas.events import Customer, Direction, Person, Protect, Rescan, Status, Verdict
from services.core.direction import plan_of
from services.core.stored import pack
from services.runtime.fakes import MemoryBus
from services.runtime.folder_store import FolderStore
from services.runtime.host import Context
from services.runtime.kafka import KafkaBus
from services.scanners.registry import discover
from services.scanners.serve import serve
from tests.eventually import eventually
from tests.mails import EICAR, PLAIN, crlf
from tests.samples import NOW, received


async def test_every_scanner_of_incoming_mail_answers_every_message(tmp_path: Path) -> None:
    store = await FolderStore.open(str(tmp_path))
    bus = MemoryBus()
    ready: list[str] = []
    environ = {"GATEPOST_STORE": str(tmp_path), "GATEPOST_DNS": "127.0.0.1:9", "GATEPOST_SCANNER_WORKERS": "1"}
    ctx = Context(environ, cast("KafkaBus", bus), store, ready.append)
    ctx.directory.apply(Customer(id="example", protect=Protect(persons=(Person(name="Alice"),))))
    ctx.directory.caught_up()
    raw = crlf(PLAIN + EICAR)
    messages = [received(size=len(raw)) for _ in range(10)]
    for event in messages:
        await store.put(event.key, [pack(event), raw])
    gone = received()
    asked = plan_of(Direction.INBOUND, tuple(discover()))
    every = len(messages) + 1
    task = asyncio.create_task(serve(ctx))
    try:
        await eventually(lambda: "scanners" in ready, 30.0)
        await bus.publish([*messages, gone])
        await eventually(lambda: len(bus.events(VERDICTS)) >= every, 60.0)
        rescan = Rescan(received=messages[0], scanners=("virus",), attempt=1, origin=42, asked_at=NOW)
        await bus.publish([rescan])
        await eventually(lambda: len(bus.events(VERDICTS)) > every, 30.0)
        assert bus.events(RESCANS) == [rescan]
    finally:
        ctx.stop.set()
        await asyncio.wait_for(task, 30.0)
        await store.close()
    published = [event for event in bus.events(VERDICTS) if isinstance(event, Verdict)]
    assert len(published) == every + 1  # one process runs all scanners: what they say of a message is one record
    verdicts = [answer for event in published for answer in event.answers]
    assert len(verdicts) == len(asked) * every + 1
    virus = {verdict.id: verdict.status for verdict in verdicts if verdict.scanner == "virus"}
    assert virus == {**{event.id: Status.VIRUS for event in messages}, gone.id: Status.GONE}
    assert [verdict.scanner for verdict in verdicts if verdict.origin == 42] == ["virus"]
    # what was said of the customer reached the workers
    protected = {verdict.id for verdict in verdicts if any(item.code == "PERSON_NAME" for item in verdict.evidence)}
    assert protected == {event.id for event in messages}
