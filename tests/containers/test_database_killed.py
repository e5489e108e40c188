"""The console's PostgreSQL is killed under load: mail flows, the console says so, and afterwards nothing is missing.

Each kill is SIGKILL for the whole of PostgreSQL; it comes back on the same data.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import func, select
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from schemas import catalog
from schemas.catalog import CUSTOMERS, RECIPIENTS
from schemas.events import Customer, Event, Recipient
from services.console import models
from services.console.book import Author, Book, wanted
from services.console.outbox import Outbox
from services.console.tables import CUSTOMERS as ROWS
from services.console.tables import OUTBOX
from services.core.clock import SystemClock
from services.core.errors import DatabaseUnavailable
from services.runtime.bus import Bus, Tombstone
from services.runtime.customers_plan import CONSOLE
from services.runtime.database import Database, database_url
from services.runtime.kafka import KafkaBus
from services.runtime.latest import latest
from services.runtime.ports import free_ports
from services.trace.index import Index
from services.trace.tables import MESSAGES
from tests.eventually import eventually
from tests.house.console import OPERATOR, console_house
from tests.house.gatepost import House
from tests.house.person import PASSWORD, Person
from tests.house.sender import Reply, plain, send
from tests.house.sink import Sink

POSTGRES = os.environ.get("GATEPOST_TEST_POSTGRES_IMAGE", "postgres:15")
EVERY = 0.1  # seconds between messages
PACE = 3.0  # seconds of mail with the database, and without it
AWAY = {"en": "can&#39;t reach its database", "it": "non raggiunge il suo database"}
PROCESSES = 8  # that `gatepost up` runs at most, each with a port for metrics of its own
BACK = 40.0  # seconds in which all is as it was


class Server:
    """PostgreSQL in a container. Its port stays over kills."""

    def __init__(self, container: DockerContainer, port: int) -> None:
        self._container = container.get_wrapped_container()
        self._base = f"postgresql://postgres:test@127.0.0.1:{port}"

    async def database(self, name: str) -> str:
        """Return the URL of a new database."""
        connection = await asyncpg.connect(f"{self._base}/postgres")
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        return f"{self._base}/{name}"

    async def kill(self) -> None:
        await asyncio.to_thread(self._container.kill)
        await asyncio.to_thread(self._container.wait)

    async def start(self) -> None:
        """Return when it answers."""
        await asyncio.to_thread(self._container.start)
        asked = Database(database_url(f"{self._base}/postgres"))

        async def answers() -> bool:
            try:
                await asked.check()
            except DatabaseUnavailable:
                return False
            return True

        await eventually(answers, within=BACK, every=0.1)
        await asked.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    (port,) = free_ports(1)
    container = (
        DockerContainer(POSTGRES)
        .with_bind_ports(5432, port)
        .with_env("POSTGRES_PASSWORD", "test")
        .waiting_for(LogMessageWaitStrategy("database system is ready to accept connections", times=2))
    )
    with container:
        yield Server(container, port)


async def differing(book: Book, bus: Bus) -> list[str]:
    """Return the keys that database and compacted topics don't say the same of."""
    async with book.reading() as connection:
        want: dict[tuple[str, str], Event] = await wanted(connection)
    customers = await latest(bus, CUSTOMERS, Customer)
    have: dict[tuple[str, str], Event] = {
        (CUSTOMERS.name, key): each for key, each in customers.items() if each.origin == CONSOLE
    }
    for key, each in (await latest(bus, RECIPIENTS, Recipient)).items():
        if (CUSTOMERS.name, each.customer) in have:
            have[RECIPIENTS.name, key] = each
    return sorted("/".join(key) for key in {*want, *have} if want.get(key) != have.get(key))


class Load:
    """Mail that comes in all the time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.replies: list[Reply] = []

    @contextlib.asynccontextmanager
    async def on(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(self._send(tasks))
            yield
            sending.cancel()

    async def _send(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            tasks.create_task(self._one(f"number {len(self.replies)}"))
            await asyncio.sleep(EVERY)

    async def _one(self, subject: str) -> None:
        place = len(self.replies)
        self.replies.append(Reply(0, "not answered", 0.0))
        self.replies[place] = await send(self._port, plain(subject), ["bob@acme.test"])


def usual(replies: Sequence[Reply]) -> float:
    return statistics.median(each.seconds for each in replies)


async def test_mail_flows_the_console_says_so_and_nothing_is_lost(tmp_path: Path, sink: Sink, server: Server) -> None:
    url = await server.database("under_load")
    port, first = free_ports(2)
    config = tmp_path / "gatepost.yaml"
    config.write_text(
        "customers:\n  - id: filed\n    domains:\n"
        f"      - {{name: acme.test, relay: ['127.0.0.1:{sink.port}'], recipients: [bob]}}\n"
    )
    environ = {"GATEPOST_DATABASE": url, "GATEPOST_METRICS_PORT": str(first)}
    house = House(tmp_path / "data", port, "--config", str(config), environ=environ)
    load = Load(port)
    async with house, Person(house.console) as operator:
        made = await house.gatepost("console", "operator", "op@service.test")
        assert made.code == 0, made.err
        link = made.out.strip().removeprefix(house.console)
        assert (await operator.fill(link, {"password": PASSWORD, "again": PASSWORD}))[0] == 200

        async def invite(name: str) -> int:
            return (await operator.fill("/customers", {"id": name, "name": name, "owner": f"ann@{name}.test"}))[0]

        async with load.on():
            assert await invite("before") == 200
            await asyncio.sleep(PACE)
            with_database = len(load.replies)
            assert await invite("just-before") == 200  # it may lie in the outbox still
            await server.kill()
            await says_so(house, operator)
            assert "waiting for the database" in str(await missing(first))
            await asyncio.sleep(PACE)
            sent = len(load.replies)
            assert sent - with_database > PACE
            await eventually(lambda: len(sink.arrivals) >= sent, within=BACK)  # while it is away
            await server.start()
            await eventually(lambda: answers(operator), within=BACK, every=0.2)
            assert await invite("after") == 200
        assert {each.code for each in load.replies} == {250}, [each for each in load.replies if each.code != 250]
        without = load.replies[with_database:sent]
        assert usual(without) < 3 * usual(load.replies[:with_database]) + 0.25
        assert max(each.seconds for each in without) < 5.0  # at 9.5 s ingress would have put them off
        await eventually(lambda: len(sink.arrivals) >= len(load.replies), within=BACK)
        assert len(sink.arrivals) == len(load.replies)
        await eventually(lambda: nothing_missing(first), within=BACK, every=0.2)
        await complete(url, house, len(load.replies))


async def says_so(house: House, operator: Person) -> None:
    """Every page of somebody with a session is the one that says it, in his language; and a change is not taken."""
    for language, said in AWAY.items():
        for path in ("/customers", "/dashboard", "/c/before/messages"):
            async with operator.session.get(house.console + path, headers={"Accept-Language": language}) as answer:
                assert (answer.status, said in await answer.text()) == (503, True), path
                assert "Retry-After" in answer.headers
    form = {"id": "lost", "name": "lost", "owner": "ann@lost.test", "csrf": operator.csrf}
    async with operator.session.post(
        house.console + "/customers", data=form, headers={"Origin": house.console}
    ) as answer:
        assert answer.status == 503


async def missing(first: int) -> dict[str, str]:
    """Return what a process says that it does without."""
    said: dict[str, str] = {}

    async def told() -> bool:
        for number in range(PROCESSES):
            with contextlib.suppress(OSError, ValueError):
                said.update(await asyncio.to_thread(_missing, first + number))
        return bool(said)

    await eventually(told, within=15, every=0.2)
    return said


def _missing(port: int) -> dict[str, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:  # ready: 200
        return dict(json.loads(answer.read()).get("missing", {}))


async def nothing_missing(first: int) -> bool:
    for number in range(PROCESSES):
        with contextlib.suppress(OSError, ValueError):
            if await asyncio.to_thread(_missing, first + number):
                return False
    return True


async def answers(operator: Person) -> bool:
    async with operator.session.get(operator.base + "/customers") as answer:
        return answer.status == 200


async def complete(url: str, house: House, sent: int) -> None:
    """What the database has the topics have, and the trace has every message."""
    book, index = await Book.open(url, SystemClock()), await Index.open(url)
    catalog.cut(house.site.partitions)
    bus = KafkaBus(house.site.kafka, "test-database-killed")
    try:
        await bus.start()

        async def same() -> bool:
            return await differing(book, bus) == []

        await eventually(same, within=BACK, every=0.2)
        async with book.reading() as connection:
            rows = list(await connection.scalars(select(ROWS.c.id).order_by(ROWS.c.id)))
        assert rows == ["after", "before", "just-before"]

        async def traced() -> bool:
            async with book.reading() as connection:
                found = select(func.count()).select_from(MESSAGES).where(MESSAGES.c.customer == "filed")
                return await connection.scalar(found) == sent

        await eventually(traced, within=BACK, every=0.2)
    finally:
        catalog.cut(catalog.PARTITIONS)
        await bus.close()
        await index.close()
        await book.close()


async def test_a_kill_at_each_step_between_a_change_and_its_publication(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with console_house(tmp_path, await server.database("step_by_step")) as house:
        await house.customer("killed")
        publish = house.bus.publish

        async def add(name: str) -> None:
            await house.desk.customers.add_customer(OPERATOR, body=models.NewCustomer(id=name, owner=f"a@{name}.test"))

        # Before the commit: it is in neither.
        with pytest.raises(DatabaseUnavailable):
            await cut_short(house.book, server)
        await server.start()
        assert await waiting(house.book) == 0

        # Committed, and not published.
        await add("committed")
        await server.kill()
        with pytest.raises(DatabaseUnavailable):
            await house.outbox.turn()
        await server.start()
        assert await waiting(house.book) > 0
        assert "customers.v1/committed" in await differing(house.book, house.bus)
        await house.settle()
        assert await differing(house.book, house.bus) == []

        # Published, and not taken out of the outbox; the process dies too, and another one goes on.
        async def published_last(items: Sequence[Event | Tombstone], *more: float, **named: float) -> None:
            await publish(items, *more, **named)
            await server.kill()

        await add("published")
        monkeypatch.setattr(house.bus, "publish", published_last)  # the bus itself, and a kill right after it
        with pytest.raises(DatabaseUnavailable):
            await house.outbox.turn()
        monkeypatch.undo()
        await server.start()
        assert await waiting(house.book) > 0
        house.clock.advance(60)
        house.outbox = Outbox(house.book, house.bus, house.post, "two")
        await house.desk.customers.remove_customer(OPERATOR, customer="committed")
        await house.settle()
        assert await differing(house.book, house.bus) == []
        assert await waiting(house.book) == 0
        names = {each.id for each in (await latest(house.bus, CUSTOMERS, Customer)).values()}
        assert names >= {"killed", "published"}
        assert "committed" not in names


async def cut_short(book: Book, server: Server) -> None:
    async with book.change(Author("test")) as change:
        assert await change.hold("killed")
        await change.note("killed", "tried", "killed")
        await change.publish("killed")
        await server.kill()


async def waiting(book: Book) -> int:
    async with book.reading() as connection:
        return int(await connection.scalar(select(func.count()).select_from(OUTBOX)) or 0)
