"""`gatepost directory`: read the customers' directories now, say how they are, and import tables."""

from __future__ import annotations

import os
import time
from pathlib import Path

from schemas.catalog import CUSTOMERS
from schemas.events import Customer, DirectoryState
from services.cli.printing import stamp, table
from services.cli.site import Site
from services.core.clock import SystemClock
from services.core.directory import CSV, LDAP
from services.core.directory_csv import OCTETS_MOST, parse_csv
from services.core.errors import ConfigError, DirectoryRefused
from services.directory.config import DirectoryConfig
from services.directory.decide import objection
from services.directory.ldap import LdapReader
from services.directory.sync import Sync, states
from services.runtime.bus import Bus
from services.runtime.config import load
from services.runtime.kafka import KafkaBus
from services.runtime.latest import latest

CLIENT = "gatepost-directory-command"


async def sync(site: Site, customer: str | None, *, force: bool, whole: bool) -> None:
    """Sync every directory, or those of one customer, and print how it went; raise DirectoryRefused when one failed."""
    bus = KafkaBus(site.kafka, CLIENT)
    try:
        due = [(each, source) for each in await _customers(bus, customer) for source in each.directory]
        if not due:
            raise ConfigError(f"{customer or 'no customer'} has a directory in the customers file")
        before = await states(bus)
        failed = 0
        for owner, source in due:
            state = await _syncer(bus).ldap(
                owner, source, before.get(f"{owner.id}/{LDAP}{source.name}"), force=force, whole=whole
            )
            failed += bool(state.failing_since)
            print(_outcome(state))
    finally:
        await bus.close()
    if failed:
        raise DirectoryRefused(f"{failed} of {len(due)} failed; what was known before stays")


async def import_csv(  # the command line's own options
    site: Site, customer: str, file: Path, *, drop_share: float, force: bool, dry_run: bool
) -> None:
    """Make the file's addresses the ones that were imported for the customer; raise ConfigError for a mistake in it."""
    try:
        with file.open("rb") as opened:
            data = opened.read(OCTETS_MOST + 1)
    except OSError as error:
        raise ConfigError(f"{file}: {(error.strerror or 'cannot be read').lower()}") from error
    bus = KafkaBus(site.kafka, CLIENT)
    try:
        (owner,) = await _customers(bus, customer)
        found = parse_csv(data, str(file), {domain.name for domain in owner.domains})
        print(f"rows: {found.rows}, addresses: {len(found.addresses)}, repeated: {found.repeated}")
        if dry_run:
            change = await _syncer(bus).csv_change(owner, found)
            print(f"would add {len(change.added)} and remove {len(change.removed)}; nothing was changed")
            if problem := objection(change, drop_share):
                print(f"would be refused: {problem}")
            return
        state = await _syncer(bus).csv(
            owner,
            found,
            (await states(bus)).get(f"{customer}/{CSV}"),
            drop_share=drop_share,
            force=force,
        )
    finally:
        await bus.close()
    if state.failing_since:
        raise DirectoryRefused(state.problem)
    print(_outcome(state))


async def status(site: Site) -> None:
    """Print how each source of recipients is doing."""
    bus = KafkaBus(site.kafka, CLIENT)
    try:
        customers = await _customers(bus, None)
        there = await states(bus)
    finally:
        await bus.close()
    rows = [_row(customer.id, name, there) for customer in customers for name in _sources(customer, there)]
    if not rows:
        print("No customer has a directory or an imported table.")
        return
    head = ("customer", "source", "addresses", "last success (UTC)", "added", "removed", "took", "failing since", "why")
    print(table(head, rows))


def _syncer(bus: Bus) -> Sync:
    clock = SystemClock()
    return Sync(bus, LdapReader(load(DirectoryConfig, os.environ), os.environ, clock), clock)


async def _customers(bus: Bus, customer: str | None) -> list[Customer]:
    there = await latest(bus, CUSTOMERS, Customer)
    if customer is None:
        return [there[key] for key in sorted(there)]
    if customer not in there:
        raise ConfigError(f"there is no customer {customer!r}; there are {', '.join(sorted(there)) or 'none'}")
    return [there[customer]]


def _sources(customer: Customer, there: dict[str, DirectoryState]) -> list[str]:
    imported = [CSV] if f"{customer.id}/{CSV}" in there else []
    return [*imported, *(LDAP + source.name for source in customer.directory)]


def _row(customer: str, source: str, there: dict[str, DirectoryState]) -> tuple[str, ...]:
    state = there.get(f"{customer}/{source}")
    if state is None:
        return (customer, source, "0", "never", "", "", "", "", "")
    since = f"{stamp(state.failing_since)} ({_lasting(time.time() - state.failing_since)})"
    return (
        customer,
        source,
        str(state.addresses),
        stamp(state.succeeded_at) if state.succeeded_at else "never",
        str(state.added),
        str(state.removed),
        f"{state.seconds:.1f} s",
        since if state.failing_since else "",
        state.problem,
    )


def _lasting(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def _outcome(state: DirectoryState) -> str:
    if state.failing_since:
        return f"{state.customer} {state.source}: {state.problem}"
    return (
        f"{state.customer} {state.source}: addresses: {state.addresses}, entries: {state.entries}, "
        f"{state.added} added, {state.removed} removed, {state.seconds:.1f} s"
    )
