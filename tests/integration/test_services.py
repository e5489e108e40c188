"""Services as on a cluster: stopped one by one nothing is lost; without a broker they say so, and end when told."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.trace.index import Index
from services.trace.query import Query
from tests.eventually import eventually
from tests.house.sender import plain, send
from tests.house.services import Services
from tests.house.sink import Sink

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = ("ingress-1", "ingress-2", "scanners", "policy", "delivery", "quarantine", "reaper", "trace")
RESTARTED = ("ingress-1", "ingress-2", "scanners", "policy", "delivery")
PACE = 0.1  # seconds between two messages
SILENT_MOST = 15.0  # seconds; five of them are the broker's, the rest is for a machine that is busy


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(tmp_path_factory: pytest.TempPathFactory, mta: Sink) -> AsyncIterator[Services]:
    """All of them, up. The tests go from what leaves them as they were to what doesn't."""
    running = Services(tmp_path_factory.mktemp("stop"), mta.port, *NAMES, environ={"GATEPOST_INGRESS_GREET_PAUSE": "0"})
    try:
        await running.up()
        yield running
    finally:
        await running.down()


class Load:
    """A sending MTA with two MX hosts: it goes to the next one when one is closed or says 421, as RFC 5321 asks."""

    def __init__(self, doors: list[int]) -> None:
        self.accepted: set[str] = set()
        self.answers: Counter[str] = Counter()
        self._doors = doors

    async def run(self, stop: asyncio.Event) -> None:
        number = 0
        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                number += 1
                tasks.create_task(self._deliver(f"steady {number}", number))
                await asyncio.sleep(PACE)

    async def _deliver(self, subject: str, number: int) -> None:
        for attempt in range(40):
            reply = await send(self._doors[(number + attempt) % len(self._doors)], plain(subject))
            self.answers[str(reply.code) if reply.code else reply.text] += 1
            if reply.code == 250:
                self.accepted.add(subject)
                return
            await asyncio.sleep(0.1)


async def test_a_rolling_restart_under_load_fails_no_session_and_loses_and_doubles_nothing(
    services: Services, mta: Sink
) -> None:
    stop, load = asyncio.Event(), Load(list(services.doors.values()))
    sending = asyncio.create_task(load.run(stop))
    await eventually(lambda: len(mta.arrivals) >= 5, 60)
    for name in RESTARTED:
        code, _ = await services.terminate(name)
        assert code == 0, name
        await services.start(name)
    stop.set()
    await sending
    arrived = Counter(arrival.header("Subject") for arrival in mta.arrivals)
    await eventually(lambda: {arrival.header("Subject") for arrival in mta.arrivals} >= load.accepted, 60, every=0.1)
    arrived = Counter(arrival.header("Subject") for arrival in mta.arrivals)
    assert arrived == dict.fromkeys(load.accepted, 1)
    assert len(load.accepted) > 30
    # Who knocks at a closed door has no session yet; a session that began ends with an answer.
    assert load.answers.keys() <= {"250", "421", "connection refused"}, load.answers


async def test_the_trace_shows_an_event_within_2_seconds(services: Services, mta: Sink) -> None:
    """The median of five, from the event's own time to the answer that has it: one may meet a machine that is busy."""
    index, (door, *_) = await Index.open(services.database), services.doors.values()
    waited = []
    try:
        for number in range(5):
            reply = await send(door, plain(f"seen {number}"), ["seen@example.test"])
            found = re.search(r"id=([0-9A-Z]{26})", reply.text)
            assert found, reply

            async def ended(message: str = found[1]) -> bool:
                rows = await index.search(Query(customer="example", recipient="seen@example.test"))
                return any(row.id == message and set(row.recipients.values()) == {"delivered"} for row in rows)

            subject = f"seen {number}"
            await eventually(lambda: any(a.header("Subject") == subject for a in mta.arrivals), 60)  # noqa: B023 - awaited here
            (arrived,) = [arrival.at for arrival in mta.arrivals if arrival.header("Subject") == subject]
            await eventually(ended, 60, every=0.05)
            waited.append(time.time() - arrived)
    finally:
        await index.close()
    assert statistics.median(waited) < 2.0, waited


async def test_readiness_says_that_the_broker_is_away_and_when_it_is_back(services: Services) -> None:
    async def all_say(status: int) -> bool:
        answers = await asyncio.gather(*(services.said(name) for name in NAMES))
        return {found for found, _ in answers} == {status}

    await eventually(lambda: all_say(200), 30, every=0.2)
    services.freeze()
    try:
        await eventually(lambda: all_say(503), 30, every=0.2)
        for name in NAMES:
            _, body = await services.said(name)
            reasons = body["reasons"]
            assert isinstance(reasons, dict)
            assert reasons["broker"].startswith("waiting for the broker: "), (name, body)
            alive, _ = await services.said(name, "/healthz")
            assert alive == 200, name  # a restart would not bring the broker back
    finally:
        services.thaw()
    await eventually(lambda: all_say(200), 60, every=0.2)


async def test_every_service_ends_by_itself_while_the_broker_answers_nothing(services: Services, mta: Sink) -> None:
    before = len(mta.arrivals)
    doors = list(services.doors.values())
    assert (await send(doors[0], plain("before the silence"))).code == 250
    await eventually(lambda: len(mta.arrivals) > before, 60)
    sending = [asyncio.create_task(send(doors[n % 2], plain(f"into the silence {n}"))) for n in range(20)]
    await asyncio.sleep(0.3)  # some are on their way through every service
    services.freeze()
    ended = await asyncio.gather(*(services.terminate(name) for name in NAMES))
    replies = await asyncio.gather(*sending)
    said = dict(zip(NAMES, ended, strict=True))
    assert {code for code, _ in ended} == {0}, said
    assert max(seconds for _, seconds in ended) < SILENT_MOST, said
    services.thaw()
    for name in NAMES:
        await services.start(name)
    accepted = {f"into the silence {n}" for n, reply in enumerate(replies) if reply.code == 250}
    await eventually(lambda: {arrival.header("Subject") for arrival in mta.arrivals} >= accepted, 60, every=0.1)
