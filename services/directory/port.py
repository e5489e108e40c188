"""A directory as a sync sees it. Implementations: `ldap.LdapReader` and `fakes.MemoryReader`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from schemas.events import LdapSource


class Entry(NamedTuple):
    """One entry of a directory."""

    id: bytes  # entryUUID, objectGUID, or the DN where there is neither
    values: tuple[bytes, ...]  # of the attributes that may hold addresses


class Mark(NamedTuple):
    """A point in a server's history."""

    server: str  # whose: another replica counts in another way
    value: str


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What was read."""

    present: frozenset[bytes]  # the ids of all entries that there are
    mark: Mark | None  # what changes after it can be asked for; None when the server doesn't tell
    whole: bool  # every entry was handed over, not only what changed
    groups: Mapping[bytes, tuple[str, ...]] = dataclasses.field(default_factory=dict)  # names by an entry's id


class Found(NamedTuple):
    """A user or a group, as the directory shows it to a person."""

    id: bytes
    dn: str
    name: str
    values: tuple[bytes, ...]  # as an Entry's
    group: bool
    members: tuple[str, ...]  # DNs


class People(Protocol):
    """Answers who somebody is. Both raise DirectoryUnavailable and DirectoryRefused, as `Reader.read` does."""

    async def bind(self, source: LdapSource, address: str, password: str) -> Found | None:
        """Return the entry that has the address and takes the password, None where there is none."""
        ...

    async def everybody(self, source: LdapSource) -> list[Found]:
        """Return every entry that has an address."""
        ...


class Reader(Protocol):
    """Reads a directory."""

    async def read(self, source: LdapSource, since: Mark | None, take: Callable[[Entry], None]) -> Reading:
        """Hand each entry to `take`: all, or those that changed since a mark when the server can tell them.

        Raises DirectoryUnavailable when the server doesn't answer to the end, DirectoryRefused when it refuses, or
        isn't the one that its certificate should show.
        """
        ...
