"""A sync over a directory and a broker in memory: what is published, and that a failure publishes nothing."""

from __future__ import annotations

import asyncio
from typing import cast

import msgspec
import pytest

from schemas.catalog import RECIPIENTS
from schemas.events import Customer, DirectoryState, Domain, LdapSource, Recipient
from services.core.address import parse
from services.core.clock import ManualClock
from services.core.directory import Directory, recipient_digest
from services.core.directory_csv import Table
from services.core.errors import BusUnavailable
from services.directory.app import Schedule
from services.directory.config import DirectoryConfig
from services.directory.fakes import MemoryReader
from services.directory.sync import Sync, states
from services.runtime.fakes import MemoryBus

SALT = "0b" * 16
SOURCE = LdapSource(url="ldaps://ldap.acme.test", base="dc=acme", interval_seconds=900.0, drop_share=0.5, full_every=5)
ACME = Customer(id="acme", salt=SALT, domains=(Domain(name="acme.test", relay=()),), directory=(SOURCE,))


class Site:
    def __init__(self) -> None:
        self.bus, self.reader, self.clock = MemoryBus(), MemoryReader(), ManualClock()
        self.sync = Sync(self.bus, self.reader, self.clock)
        self.state: DirectoryState | None = None
        for name in ("anna", "ben", "cleo"):
            self.reader.put(name, f"{name}@acme.test")

    async def run(self, **changes: object) -> DirectoryState:
        self.clock.advance(1.0)
        self.state = await self.sync.ldap(ACME, msgspec.structs.replace(SOURCE, **changes), self.state)
        return self.state

    async def known(self, source: str = "ldap:ldap") -> list[str]:
        names = {recipient_digest(SALT, f"{name}@acme.test"): name for name in ("anna", "ben", "cleo", "dora", "emil")}
        there: dict[str, str] = {}
        async for record in self.bus.read(RECIPIENTS):
            if record.event is None:
                there.pop(record.key, None)
            elif (event := cast("Recipient", record.event)).source == source:
                there[record.key] = names[event.digest]
        return sorted(there.values())

    async def groups(self) -> dict[str, list[str]]:
        """Return who is in which groups, as whoever decides knows it."""
        directory = Directory()
        async for record in self.bus.read(RECIPIENTS):
            if record.event is None:
                directory.remove(Recipient, record.key)
            else:
                directory.apply(record.event)
        found = {name: directory.groups_of(ACME, f"{name}@Acme.test") for name in ("anna", "ben", "cleo", "dora")}
        return {name: sorted(names) for name, names in found.items() if names}


async def test_groups_follow_the_directory_where_nothing_else_changed() -> None:
    site = Site()
    site.reader.groups = {"anna": ("sales", "staff"), "ben": ("staff",)}
    await site.run()
    assert await site.groups() == {}  # nobody asked for any
    wants = {"groups": ("*",)}
    await site.run(**wants)
    assert await site.groups() == {"anna": ["sales", "staff"], "ben": ["staff"]}
    site.reader.groups = {"anna": ("staff",)}
    state = await site.run(**wants)
    assert await site.groups() == {"anna": ["staff"]}
    assert (state.added, state.removed, state.addresses) == (0, 0, 3)
    before = len(site.bus.events(RECIPIENTS))
    await site.run(**wants)
    assert len(site.bus.events(RECIPIENTS)) == before
    site.reader.delete("anna")
    await site.run(**wants)
    assert await site.groups() == {}


async def test_after_the_first_sync_only_changes_are_asked_for_until_everything_is_due() -> None:
    site = Site()
    for _ in range(6):
        await site.run()
    assert [since is None for since in site.reader.reads] == [True, False, False, False, False, True]


async def test_a_connection_that_is_lost_in_the_middle_changes_nothing() -> None:
    site = Site()
    await site.run()
    site.reader.ends_after = 1
    for name in ("anna", "ben"):
        site.reader.put(name, "dora@acme.test")
    state = await site.run()
    assert "connection lost" in state.problem
    assert (state.mark, state.addresses, await site.known()) == ("3", 3, ["anna", "ben", "cleo"])


async def test_entries_that_appear_without_a_change_make_it_read_everything() -> None:
    site = Site()
    await site.run()
    site.reader.move_in("emil", "emil@acme.test")
    state = await site.run()
    assert await site.known() == ["anna", "ben", "cleo", "emil"]
    assert (state.runs, [since is None for since in site.reader.reads]) == (0, [True, False, True])


async def test_entries_without_an_address_do_not_make_it_read_everything() -> None:
    site = Site()
    site.reader.put("printer", "printer@elsewhere.test")
    await site.run()
    await site.run()
    assert [since is None for since in site.reader.reads] == [True, False]


async def test_a_broker_that_fails_in_the_middle_leaves_a_sync_that_the_next_one_finishes() -> None:
    site = Site()
    await site.run()
    site.reader.put("dora", "dora@acme.test")
    site.reader.delete("ben")
    site.bus.lose_acks = True
    state = site.state
    with pytest.raises(BusUnavailable):
        await site.run()
    assert site.state is state
    site.bus.lose_acks = False
    after = await site.run()
    assert (after.problem, await site.known()) == ("", ["anna", "cleo", "dora"])


async def test_additions_are_published_before_anything_is_taken_away() -> None:
    site = Site()
    await site.run()
    site.reader.put("ben", "dora@acme.test")
    await site.run()
    values = [record.event is None async for record in site.bus.read(RECIPIENTS)]
    assert values == [False, False, False, False, True]


async def test_a_table_is_a_source_of_its_own() -> None:
    site = Site()
    await site.run()
    anna, dora = parse("anna@acme.test"), parse("dora@acme.test")
    state = await site.sync.csv(ACME, Table((anna, dora), 2, 0), None, drop_share=0.2)
    assert (state.source, state.added, state.removed) == ("csv", 2, 0)
    state = await site.sync.csv(ACME, Table((anna,), 1, 0, {"anna@acme.test": ("sales",)}), state, drop_share=0.2)
    assert (state.added, state.removed, state.failing_since) == (0, 1, 0)
    assert await site.known("csv") == ["anna"]
    assert await site.groups() == {"anna": ["sales"]}
    assert await site.known() == ["anna", "ben", "cleo"]


async def test_the_schedule_syncs_when_it_is_due_and_a_failure_is_tried_again_soon() -> None:
    site = Site()
    schedule = Schedule(
        DirectoryConfig(directory_retry_seconds=60.0), site.bus, site.reader, site.clock, lambda: [ACME]
    )
    due = [await schedule.once(), await schedule.once()]
    site.clock.advance(899.0)
    due.append(await schedule.once())
    site.clock.advance(1.0)
    site.reader.down = True
    due.append(await schedule.once())
    site.clock.advance(60.0)
    site.reader.down = False
    due.append(await schedule.once())
    assert due == [1, 0, 0, 1, 1]
    assert (await states(site.bus))["acme/ldap:ldap"].failing_since == 0


async def test_a_sync_from_the_command_line_counts_for_the_schedule() -> None:
    site = Site()
    schedule = Schedule(DirectoryConfig(), site.bus, site.reader, site.clock, lambda: [ACME])
    await site.run()
    assert await schedule.once() == 0


async def test_the_schedule_waits_for_a_broker_that_is_away_and_stops_when_told() -> None:
    site = Site()
    site.bus.down = True
    config = DirectoryConfig(directory_tick_seconds=0.01)
    schedule, stop = Schedule(config, site.bus, site.reader, site.clock, lambda: [ACME]), asyncio.Event()
    task = asyncio.create_task(schedule.run(stop))
    await asyncio.sleep(0.05)
    site.bus.down = False
    async with asyncio.timeout(5):
        while not site.bus.events(RECIPIENTS):  # noqa: ASYNC110  # the bus in memory has no event for it
            await asyncio.sleep(0.01)
        stop.set()
        await task
