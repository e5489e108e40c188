"""The pool with real worker processes and a real folder store: what kills a worker harms nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.catalog import RECEIVED
from schemas.events import Customer, Direction, Person, Protect, Received, Status, Verdict
from services.core.clock import SystemClock
from services.core.direction import plan_of
from services.core.errors import ConfigError, EngineUnavailable, ObjectNotFound, StartError, StoreUnavailable
from services.core.stored import pack
from services.runtime.bus import Record
from services.runtime.folder_store import FolderStore
from services.scanners.app import services
from services.scanners.briefing import Briefings
from services.scanners.config import ScannersConfig
from services.scanners.contract import Finding
from services.scanners.pool import Pool
from services.scanners.registry import discover
from tests.eventually import eventually
from tests.mails import EICAR, PLAIN, crlf
from tests.samples import NOW, received

ODD = "tests.integration.odd_checks"


class House:
    """A folder store, and the pool over it."""

    def __init__(self, store: FolderStore, config: ScannersConfig) -> None:
        self.store = store
        self.config = config

    async def message(self, subject: str = "fine", body: bytes = b"") -> Received:
        raw = crlf(PLAIN.replace(b"The minutes", subject.encode()) + body)
        event = received(size=len(raw))
        await self.store.put(event.key, [pack(event), raw])
        return event

    @asynccontextmanager
    async def pool(self, package: str = ODD, *, patience: float = 1.0, **changes: Any) -> AsyncIterator[Pool]:
        pool = Pool(msgspec.structs.replace(self.config, **changes), (), package, patience=patience)
        await pool.start()
        try:
            yield pool
        finally:
            async with asyncio.timeout(10):
                await pool.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await FolderStore.open(str(tmp_path / "objects"))
    yield House(
        store,
        ScannersConfig(store=str(tmp_path / "objects"), scanner_workers=1, scanner_grace=0.5, scanner_wait=20.0),
    )
    await store.close()


def pid_of(finding: Finding) -> int:
    return int(finding.evidence[0].text)


def gone(pid: int) -> Callable[[], bool]:
    def is_gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    return is_gone


async def test_a_message_is_scanned_elsewhere(house: House) -> None:
    async with house.pool() as pool:
        message = await house.message("The subject")
        finding = await pool.scan("good", message)
        assert finding.engine == "The subject"
        assert pid_of(finding) not in {0, os.getpid()}
        assert finding.elapsed_ms >= 0


async def test_a_message_stays_with_one_worker_and_is_parsed_once(house: House) -> None:
    async with house.pool(scanner_workers=2) as pool:
        messages = [await house.message() for _ in range(12)]
        by_message = [await asyncio.gather(*(pool.scan("good", item) for _ in range(3))) for item in messages]
        assert all(len({finding.evidence for finding in findings}) == 1 for findings in by_message)
        assert len({pid_of(findings[0]) for findings in by_message}) == 2


async def test_each_scan_brings_its_briefing(house: House) -> None:
    protect = Protect(persons=(Person(name="Erika Mustermann"),))
    briefings = Briefings({"acme": Customer(id="acme", protect=protect)}.get)
    async with house.pool() as pool:
        message = await house.message()
        told = await pool.scan("told", message, briefings.of("acme"))
        assert (told.engine, [item.text for item in told.evidence]) == ("acme", ["Erika Mustermann"])
        assert (await pool.scan("told", message, briefings.of("nobody"))).engine == ""


@pytest.mark.parametrize(("odd", "reason"), [("hang", "time"), ("exit", "crash"), ("hungry", "crash")])
async def test_a_message_that_kills_workers_harms_no_other(house: House, odd: str, reason: str) -> None:
    async with house.pool(scanner_memory=600_000_000, scanner_grace=2.0) as pool:
        killer, *others = [await house.message(subject) for subject in (odd, "a", "b", "c")]
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(pool.scan("slow", item)) for item in others]
            kills = tasks.create_task(pool.scan(odd, killer))
        assert [task.result().status for task in beside] == [Status.CLEAN] * 3
        assert (kills.result().status, kills.result().reason) == (Status.UNAVAILABLE, reason)
        assert (await pool.scan("good", killer)).status is Status.CLEAN
        assert (await pool.scan(odd, others[0])).status is Status.CLEAN


async def test_a_scan_that_only_waits_kills_nobody(house: House) -> None:
    async with house.pool() as pool:
        before = pool.pids
        finding = await pool.scan("wait", await house.message("wait"))
        assert (finding.status, finding.reason) == (Status.UNAVAILABLE, "time")
        assert pool.pids == before


@pytest.mark.parametrize(("patience", "status"), [(1.0, Status.UNAVAILABLE), (20.0, Status.CLEAN)])
async def test_where_it_is_held_up_on_purpose_it_has_more_time(house: House, patience: float, status: Status) -> None:
    async with house.pool(patience=patience) as pool:
        assert (await pool.scan("late", await house.message("late"))).status is status


async def test_a_worker_killed_from_outside_is_replaced(house: House) -> None:
    async with house.pool() as pool:
        message = await house.message()
        scan = asyncio.create_task(pool.scan("slow", message))
        (worker,) = pool.pids
        assert worker is not None
        await asyncio.sleep(0.1)
        os.kill(worker, signal.SIGKILL)
        assert (await scan).status is Status.CLEAN
        assert pool.pids != [worker]


async def test_a_scanner_that_raises_is_no_crash(house: House) -> None:
    async with house.pool() as pool:
        before = pool.pids
        finding = await pool.scan("buggy", await house.message("buggy"))
        assert (finding.status, finding.reason) == (Status.UNAVAILABLE, "crash")
        assert "secret" not in str(finding)
        odd = await pool.scan("buggy", await house.message())
        assert (odd.score, odd.engine) == (0.0, "\N{REPLACEMENT CHARACTER}")
        assert pool.pids == before


async def test_a_message_that_went(house: House) -> None:
    async with house.pool() as pool:
        with pytest.raises(ObjectNotFound):
            await pool.scan("good", received())


async def test_a_store_that_is_down_is_temporary(house: House) -> None:
    async with house.pool() as pool:
        message = await house.message()
        path = Path(house.config.store) / message.key
        await asyncio.to_thread(path.unlink)
        await asyncio.to_thread(path.symlink_to, path)  # a loop fails as a broken disk does, even for root
        with pytest.raises(StoreUnavailable):
            await pool.scan("good", message)


async def test_an_object_that_is_not_ours(house: House) -> None:
    async with house.pool() as pool:
        event = received()
        await house.store.put(event.key, [b"rubbish"])
        finding = await pool.scan("good", event)
        assert (finding.status, finding.reason) == (Status.UNAVAILABLE, "store")


async def test_places_are_bounded_and_waiting_has_an_end(house: House) -> None:
    async with house.pool(scanner_in_flight=1, scanner_wait=0.1) as pool:
        messages = [await house.message() for _ in range(2)]
        outcomes = await asyncio.gather(*(pool.scan("slow", item) for item in messages), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Finding, EngineUnavailable}


async def test_no_worker_outlives_its_pool(house: House) -> None:
    async with house.pool(scanner_workers=2) as pool:
        pids = [pid for pid in pool.pids if pid is not None]
        hanging = asyncio.create_task(pool.scan("hang", await house.message("hang")))
        await asyncio.sleep(0.05)
    with pytest.raises(EngineUnavailable):
        await hanging
    for pid in pids:
        await eventually(gone(pid))


PARENT = """
import asyncio, sys
from services.scanners.config import ScannersConfig
from services.scanners.pool import Pool
async def main():
    pool = Pool(ScannersConfig(store=sys.argv[1], scanner_workers=1), (), "tests.integration.odd_checks")
    await pool.start()
    print(pool.pids[0], flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_a_worker_dies_with_its_parent(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    worker = int(await asyncio.wait_for(parent.stdout.readline(), 20))
    parent.kill()
    await parent.wait()
    await eventually(gone(worker))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"clamd": "nowhere"}, "GATEPOST_CLAMD"),
        ({"rspamd": "nowhere"}, "GATEPOST_RSPAMD"),
        ({"dns": "nowhere"}, "GATEPOST_DNS"),
        ({"yara_dir": "nowhere"}, "GATEPOST_YARA_DIR"),
        ({"store": "ftp://x"}, "store"),
    ],
)
async def test_a_bad_setting_is_one_line(house: House, changes: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        async with house.pool("services.scanners.checks", **changes):
            pass


async def test_a_worker_that_cannot_start(house: House) -> None:
    with pytest.raises(StartError):
        async with house.pool("services.scanners.checks", scanner_memory=30_000_000):
            pass


async def test_the_real_scanners_through_their_services(house: House) -> None:
    async with AsyncExitStack() as stack:
        config = msgspec.structs.replace(house.config, dns="127.0.0.1:9")
        pool = await stack.enter_async_context(house.pool("services.scanners.checks", dns="127.0.0.1:9"))
        scanners = services(config, (), pool, Briefings(dict[str, Customer]().get), SystemClock())
        message = await house.message(body=EICAR)
        record = Record(RECEIVED, 0, 4, message.id, message, NOW)
        asked = plan_of(Direction.INBOUND, tuple(discover()))
        verdicts = {}
        for name in asked:
            (verdict,) = await scanners[name].handle(record)
            assert isinstance(verdict, Verdict)
            verdicts[name] = verdict
        others = dict.fromkeys(asked, Status.CLEAN)
        assert {name: verdict.status for name, verdict in verdicts.items()} == {**others, "virus": Status.VIRUS}
        assert [text.partition(" ")[0] for _, text in verdicts["auth"].results] == ["temperror", "none", "temperror"]
