"""One sync: read, compare, publish. What is published is the difference, additions first.

Addresses are hashed as they arrive and are never kept, logged or sent. A sync that fails changes nothing: the last good
directory stays, and the state says since when it is old.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

from schemas.catalog import DIRECTORY_STATE, RECIPIENTS
from schemas.events import Customer, DirectoryState, Event, LdapSource, Recipient
from services.core.clock import Clock
from services.core.directory import CSV, LDAP, recipient_digest
from services.core.directory_csv import Table
from services.core.directory_entries import addresses
from services.core.errors import DirectoryRefused, DirectoryUnavailable
from services.directory import decide
from services.directory.port import Entry, Mark, Reader
from services.runtime import metrics
from services.runtime.bus import Bus, Tombstone
from services.runtime.latest import latest

log = logging.getLogger("gatepost.directory")


BATCH: Final = 250  # records published together
TURN: Final = 200  # digests made before others have their turn: about 2 ms


async def states(bus: Bus) -> dict[str, DirectoryState]:
    """Return how each source is doing, by customer/source."""
    return await latest(bus, DIRECTORY_STATE, DirectoryState)


class Sync:
    """Brings the records of a source in step with the source."""

    def __init__(self, bus: Bus, reader: Reader, clock: Clock) -> None:
        self._bus = bus
        self._reader = reader
        self._clock = clock

    async def ldap(
        self,
        customer: Customer,
        source: LdapSource,
        state: DirectoryState | None,
        *,
        force: bool = False,
        whole: bool = False,
    ) -> DirectoryState:
        """Sync a directory and return its new state; a failure of the directory is in the state, and nothing changed.

        `force` lets a sync through that would take many addresses away, `whole` reads more than what changed. Raises
        BusUnavailable when the broker doesn't take the result.
        """
        name = LDAP + source.name
        async with self._watched(customer.id, name, state) as done:
            before = await self._records(customer.id, name)
            settings = decide.settings_hash(customer, source)
            whole = whole or decide.reads_everything(state, source, settings)
            since = None if whole or state is None else Mark(state.server, state.mark)
            heard = await self._read(customer, source, since)
            known = {digest: recipient.entry for digest, recipient in before.items()}
            barren = () if state is None else state.barren
            if not heard.whole and decide.unexplained(known, heard.found, heard.present, barren):
                heard = await self._read(customer, source, None)
            owners, change = await asyncio.to_thread(_compared, customer.id, name, before, heard)  # 50 ms for 10,000
            await self._apply(change, source.drop_share, force=force)
            without = decide.barren(owners, heard.present)
            mark = heard.mark if heard.mark is not None and without is not None else Mark("", "")
            done.change = change
            done.fields = {
                "entries": len(heard.present),
                "runs": 0 if heard.whole or state is None else state.runs + 1,
                "settings": settings,
                "server": mark.server,
                "mark": mark.value,
                "barren": without or (),
            }
        return done.state

    async def csv(
        self,
        customer: Customer,
        found: Table,
        state: DirectoryState | None,
        *,
        drop_share: float,
        force: bool = False,
    ) -> DirectoryState:
        """Make the table's addresses the ones that were imported; see `ldap` for what is returned."""
        async with self._watched(customer.id, CSV, state) as done:
            change = await self.csv_change(customer, found)
            await self._apply(change, drop_share, force=force)
            done.change = change
            done.fields = {"entries": len(found.addresses)}
        return done.state

    async def csv_change(self, customer: Customer, found: Table) -> decide.Change:
        """Return what importing the table would change."""
        digests: dict[str, str] = {}
        groups: dict[str, tuple[str, ...]] = {}
        for index, address in enumerate(found.addresses):
            digest = recipient_digest(customer.salt, address)
            digests[digest] = ""
            groups[digest] = found.groups.get(address.canonical, ())
            if index % TURN == 0:
                await asyncio.sleep(0)
        before = await self._records(customer.id, CSV)
        return await asyncio.to_thread(decide.change, customer.id, CSV, before, digests, groups)

    async def _read(self, customer: Customer, source: LdapSource, since: Mark | None) -> _Heard:
        """Read the directory; what is known of it afterwards is hashes."""
        domains = frozenset(domain.name for domain in customer.domains)
        found: dict[str, frozenset[str]] = {}
        foreign = unreadable = 0

        def take(entry: Entry) -> None:
            nonlocal foreign, unreadable
            said = addresses(entry.values, domains)
            foreign += said.foreign
            unreadable += said.unreadable
            found[decide.entry_hash(customer.salt, entry.id)] = frozenset(
                recipient_digest(customer.salt, address) for address in said.ours
            )

        reading = await self._reader.read(source, since, take)
        log.info(
            "customer=%s source=%s event=directory-read whole=%s entries=%d read=%d foreign=%d unreadable=%d",
            *(customer.id, LDAP + source.name, reading.whole, len(reading.present), len(found), foreign, unreadable),
        )
        present = set()
        for index, entry in enumerate(reading.present):
            present.add(decide.entry_hash(customer.salt, entry))
            if index % TURN == 0:
                await asyncio.sleep(0)
        groups = {decide.entry_hash(customer.salt, entry): names for entry, names in reading.groups.items()}
        return _Heard(found, present, reading.mark, reading.whole, groups)

    async def _apply(self, change: decide.Change, drop_share: float, *, force: bool) -> None:
        problem = decide.objection(change, drop_share)
        if problem and not force:
            raise DirectoryRefused(problem)
        items: list[Event | Tombstone] = [*change.added, *change.moved, *change.removed]
        for start in range(0, len(items), BATCH):
            await self._bus.publish(items[start : start + BATCH])

    async def _records(self, customer: str, source: str) -> dict[str, Recipient]:
        """Return the source's records by digest."""
        known = await latest(self._bus, RECIPIENTS, Recipient)
        return {each.digest: each for each in known.values() if each.customer == customer and each.source == source}

    @contextlib.asynccontextmanager
    async def _watched(self, customer: str, source: str, state: DirectoryState | None) -> AsyncIterator[_Done]:
        """Write down how it went."""
        began, clock = self._clock.monotonic(), self._clock
        done = _Done(state or DirectoryState(customer=customer, source=source, tried_at=0.0))
        old = done.state
        try:
            yield done
        except (DirectoryUnavailable, DirectoryRefused) as error:
            now = clock.now()
            done.state = msgspec.structs.replace(
                old, tried_at=now, failing_since=old.failing_since or now, problem=str(error), added=0, removed=0
            )
            metrics.DIRECTORY_FAILING.labels(customer, source).set(done.state.failing_since)
            log.error(
                "customer=%s source=%s event=directory-alarm failing_since=%.0f addresses_kept=%d error=%s",
                *(customer, source, done.state.failing_since, old.addresses, error),
            )
        else:
            done.state = done.succeeded(clock.now(), clock.monotonic() - began)
            metrics.DIRECTORY_FAILING.labels(customer, source).set(0)
            metrics.DIRECTORY_ADDRESSES.labels(customer, source).set(done.state.addresses)
            metrics.DIRECTORY_SYNCED.labels(customer, source).set(done.state.succeeded_at)
            log.info(
                "customer=%s source=%s event=directory-synced addresses=%d added=%d removed=%d seconds=%.2f",
                *(customer, source, done.state.addresses, done.state.added, done.state.removed, done.state.seconds),
            )
        await self._bus.publish([done.state])


@dataclasses.dataclass(frozen=True, slots=True)
class _Heard:
    """What a directory said, in hashes: digests by entry, and all the entries that there are."""

    found: dict[str, frozenset[str]]
    present: set[str]
    mark: Mark | None
    whole: bool
    groups: Mapping[str, tuple[str, ...]]  # names by entry


@dataclasses.dataclass
class _Done:
    """What a sync has to say of itself."""

    state: DirectoryState
    change: decide.Change | None = None
    fields: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def succeeded(self, now: float, seconds: float) -> DirectoryState:
        change = self.change
        return msgspec.structs.replace(
            self.state,
            tried_at=now,
            succeeded_at=now,
            failing_since=0.0,
            problem="",
            addresses=change.after if change else 0,
            added=len(change.added) if change else 0,
            removed=len(change.removed) if change else 0,
            seconds=seconds,
            **self.fields,
        )


def _compared(
    customer: str, source: str, before: Mapping[str, Recipient], heard: _Heard
) -> tuple[decide.Owners, decide.Change]:
    if heard.whole:
        owners = decide.of_everything(heard.found)
    else:
        known = {digest: recipient.entry for digest, recipient in before.items()}
        owners = decide.of_changes(known, heard.found, heard.present)
    groups = {digest: heard.groups[entry] for digest, entry in owners.items() if entry in heard.groups}
    return owners, decide.change(customer, source, before, owners, groups)
