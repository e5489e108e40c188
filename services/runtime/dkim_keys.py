"""The domains' signing keys: in the store, each wrapped by a master key that only delivery and the operator have.

A key that was made signs nothing until it is taken into use, so that its record can be published first. Two names are
used in turn, gp1 and gp2: while the new one signs, mail that the old one has signed can still be verified.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Final

import msgspec

from services.core import dkim
from services.core.clock import Clock
from services.core.errors import ConfigError, ObjectCorrupt, ObjectNotFound
from services.core.wrapping import derived, unwrap, wrap
from services.runtime.store import Store

NAME: Final = "GATEPOST_DKIM_KEY"
KEYS: Final = "dkim"  # of the wrapped keys
IN_USE: Final = "dkim-in-use"  # of what says which of them sign
GENERATIONS: Final = ("gp1", "gp2")
SUFFIXES: Final = {dkim.RSA: "", dkim.ED25519: "e"}  # a selector names one key (RFC 6376 section 3.6.2.2)
FRESH: Final = 60.0  # seconds for which what was looked up is used
DOMAINS_MOST: Final = 10_000  # kept in mind


class DkimConfig(msgspec.Struct, frozen=True, kw_only=True):
    """GATEPOST_DKIM_KEY (base64 of 32 octets), or GATEPOST_DKIM_KEY_FILE with the same in it."""

    dkim_key: str = ""
    dkim_key_file: str = ""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it lies in the store."""

    domain: str
    selector: str
    record: str  # what is to be published
    wrapped: bytes
    made_at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """A key, and whether it signs."""

    stored: Stored
    in_use: bool

    @property
    def name(self) -> str:
        """Where its record belongs."""
        return f"{self.stored.selector}._domainkey.{self.stored.domain}"


class DkimKeys:
    """Every method raises StoreUnavailable when the store can't be had, KeyDestroyed for another master key's."""

    def __init__(self, store: Store, master: bytes, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        self._store = store
        self._wrapping = derived(master, "dkim keys")
        self._clock = clock
        self._entropy = entropy
        self._known: dict[tuple[str, str], tuple[float, tuple[dkim.Key, ...]]] = {}

    async def make(self, customer: str, domain: str) -> list[Listed]:
        """Make a key of each algorithm under the name that isn't in use, and return them.

        Raises ConfigError when both names are taken: the old keys have to be removed first.
        """
        there = await self.all(customer, domain)
        taken = {generation_of(each.stored.selector) for each in there}
        name = next((each for each in GENERATIONS if each not in taken), None)
        if name is None:
            raise ConfigError(f"{domain} has keys under {' and '.join(GENERATIONS)}; remove those that no longer sign")
        for algorithm, suffix in SUFFIXES.items():
            private = await asyncio.to_thread(dkim.new_private, algorithm)
            selector = name + suffix
            about = _about(customer, domain, selector)
            stored = Stored(
                domain=domain,
                selector=selector,
                record=dkim.record(private),
                wrapped=wrap(self._wrapping, dkim.packed(private), about, self._entropy),
                made_at=self._clock.now(),
            )
            await self._store.put(f"{KEYS}/{about}", [msgspec.json.encode(stored)])
        return [each for each in await self.all(customer, domain) if generation_of(each.stored.selector) == name]

    async def all(self, customer: str, domain: str) -> list[Listed]:
        """Return the domain's keys by their selectors."""
        place = f"{customer}/{domain}"
        used = {stat.key.rpartition("/")[2] async for stat in self._store.list(f"{IN_USE}/{place}")}
        found = [stat.key async for stat in self._store.list(f"{KEYS}/{place}")]
        keys = []
        for key in sorted(found):
            try:
                stored = msgspec.json.decode(await self._store.get(key), type=Stored)
            except ObjectNotFound:
                continue  # removed meanwhile
            except msgspec.MsgspecError as error:
                raise ObjectCorrupt(f"{key} is not a key") from error
            keys.append(Listed(stored, stored.selector in used))
        return keys

    async def use(self, customer: str, domain: str, generation: str) -> None:
        """Sign with these keys from now on, and with no others; every process does within a minute."""
        for each in await self.all(customer, domain):
            if generation_of(each.stored.selector) == generation:
                await self._store.put(f"{IN_USE}/{_about(customer, domain, each.stored.selector)}", [b"1"])
        for each in await self.all(customer, domain):
            if generation_of(each.stored.selector) != generation:
                await self._store.delete(f"{IN_USE}/{_about(customer, domain, each.stored.selector)}")
        self._known.pop((customer, domain), None)

    async def remove(self, customer: str, domain: str, generation: str) -> int:
        """Remove keys for good, and return how many; raise ConfigError while they sign."""
        there = [each for each in await self.all(customer, domain) if generation_of(each.stored.selector) == generation]
        if any(each.in_use for each in there):
            raise ConfigError(f"{generation} of {domain} is in use")
        for each in there:
            await self._store.delete(f"{KEYS}/{_about(customer, domain, each.stored.selector)}")
        return len(there)

    async def signing(self, customer: str, domain: str) -> tuple[dkim.Key, ...]:
        """Return the keys that the customer's domain signs with, RSA first; none where it has none."""
        at, keys = self._known.get((customer, domain), (-FRESH, ()))
        now = self._clock.monotonic()
        if now - at < FRESH:
            return keys
        found = [each.stored for each in await self.all(customer, domain) if each.in_use]
        keys = tuple(self._opened(customer, each) for each in found)
        if len(self._known) >= DOMAINS_MOST:
            self._known.clear()
        self._known[customer, domain] = (now, keys)
        return keys

    def _opened(self, customer: str, stored: Stored) -> dkim.Key:
        octets = unwrap(self._wrapping, stored.wrapped, _about(customer, stored.domain, stored.selector))
        return dkim.Key(stored.domain, stored.selector, dkim.unpacked(octets))


def generation_of(selector: str) -> str:
    """Return the name that keys of several algorithms have in common."""
    return selector.removesuffix(SUFFIXES[dkim.ED25519])


def _about(customer: str, domain: str, selector: str) -> str:
    return f"{customer}/{domain}/{selector}"
