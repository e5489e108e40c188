"""What the commands of the signing keys do."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from schemas.catalog import CUSTOMERS
from schemas.events import Customer
from services.cli.site import Site
from services.core.address import parse_domain
from services.core.clock import SystemClock
from services.core.dkim import strings
from services.core.errors import BadAddress, ConfigError, GatepostError
from services.runtime.config import load
from services.runtime.dkim_keys import GENERATIONS, NAME, DkimConfig, DkimKeys, Listed, generation_of
from services.runtime.dkim_records import Published, published
from services.runtime.dns import Resolver
from services.runtime.kafka import KafkaBus
from services.runtime.latest import latest
from services.runtime.open_store import open_store
from services.runtime.secret_key import given_key, make_key

FILE = "dkim.key"  # in the data folder: the master key that wraps all others


class Unpublished(GatepostError):  # noqa: N818  # the name says what it is
    """DNS doesn't say what it should."""


@dataclasses.dataclass(frozen=True, slots=True)
class Room:
    """What the commands work with."""

    keys: DkimKeys
    customer: str
    domain: str

    async def listed(self) -> list[Listed]:
        """Return the domain's keys; raise ConfigError when it has none."""
        found = await self.keys.all(self.customer, self.domain)
        if not found:
            raise ConfigError(f"{self.domain} has no keys; `gatepost dkim make-key {self.domain}` makes them")
        return found


@contextlib.asynccontextmanager
async def _room(site: Site, data: Path, text: str) -> AsyncIterator[Room]:
    try:
        domain = parse_domain(text)
    except BadAddress as error:
        raise ConfigError(f"{text!r}: {error}") from error
    async with contextlib.AsyncExitStack() as stack:
        bus = KafkaBus(site.kafka, "gatepost-dkim")
        stack.push_async_callback(bus.close)
        owner = next(
            (
                customer.id
                for customer in (await latest(bus, CUSTOMERS, Customer)).values()
                if any(each.name == domain for each in customer.domains)
            ),
            None,
        )
        if owner is None:
            raise ConfigError(f"{domain} is no customer's domain")
        store = await open_store(site.store, os.environ)
        stack.push_async_callback(store.close)
        yield Room(DkimKeys(store, _master(data), SystemClock(), os.urandom), owner, domain)


def _master(data: Path) -> bytes:
    """Return the master key; in a data folder it is made when it is first needed."""
    config = load(DkimConfig, os.environ)
    file = config.dkim_key_file
    if not config.dkim_key and not file:
        make_key(data / FILE)
        file = str(data / FILE)
    master = given_key(NAME, config.dkim_key, file)
    if master is None:
        raise ConfigError(f"{NAME} or {NAME}_FILE: must be set")
    return master


async def make(site: Site, data: Path, domain: str) -> None:
    """Make keys and print what is to be published."""
    async with _room(site, data, domain) as room:
        made = await room.keys.make(room.customer, room.domain)
    _print(made)
    name = generation_of(made[0].stored.selector)
    print(f"\npublish these records, then: gatepost dkim use {room.domain} {name}")


async def show(site: Site, data: Path, domain: str) -> None:
    """Print the keys."""
    async with _room(site, data, domain) as room:
        _print(await room.listed())


async def check(site: Site, data: Path, domain: str) -> None:
    """Print what DNS says of each key; raise Unpublished when that isn't right."""
    async with _room(site, data, domain) as room:
        await _check(await room.listed())


async def use(site: Site, data: Path, domain: str, name: str, *, unchecked: bool) -> None:
    """Take keys into use; raise Unpublished when nobody could verify what they sign."""
    async with _room(site, data, domain) as room:
        wanted = [each for each in await room.listed() if generation_of(each.stored.selector) == name]
        if not wanted:
            raise ConfigError(f"{room.domain} has no keys named {name}; there are {' and '.join(GENERATIONS)}")
        if not unchecked:
            await _check(wanted)
        await room.keys.use(room.customer, room.domain, name)
    print(f"mail from {room.domain} is signed with {name} within a minute")


async def remove(site: Site, data: Path, domain: str, name: str) -> None:
    """Remove keys."""
    async with _room(site, data, domain) as room:
        count = await room.keys.remove(room.customer, room.domain, name)
    print(f"{count} keys of {room.domain} removed")


def _print(keys: Sequence[Listed]) -> None:
    for each in keys:
        print(f"; {'signs' if each.in_use else 'not in use'}\n{each.name}. IN TXT ( {strings(each.stored.record)} )")


async def _check(keys: Sequence[Listed]) -> None:
    resolver = Resolver(os.environ.get("GATEPOST_DNS", "").strip(), SystemClock())
    wrong = 0
    try:
        for each in keys:
            found = await published(resolver, each)
            wrong += found is not Published.RIGHT
            print(f"{each.name}: {found.value}")
    finally:
        await resolver.close()
    if wrong:
        raise Unpublished(f"{wrong} of {len(keys)} records are not as they should be")
