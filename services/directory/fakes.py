"""A directory in memory: the Reader port, with faults on demand. It passes the contract tests that slapd passes."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

from schemas.events import LdapSource
from services.core.errors import DirectoryUnavailable
from services.directory.port import Entry, Found, Mark, Reading


@dataclasses.dataclass
class MemoryReader:
    """`down` set: it doesn't answer. `ends_after` set: the connection is lost after so many entries."""

    down: bool = False
    ends_after: int | None = None
    groups: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    reads: list[Mark | None] = dataclasses.field(default_factory=list)
    _entries: dict[bytes, tuple[tuple[bytes, ...], int]] = dataclasses.field(default_factory=dict)
    _count: int = 0

    def put(self, entry: str, *values: str) -> None:
        """Add an entry or change it."""
        self._count += 1
        self._entries[entry.encode()] = (tuple(value.encode() for value in values), self._count)

    def move_in(self, entry: str, *values: str) -> None:
        """Let an entry appear without counting as changed, as below a subtree that was moved."""
        self._entries[entry.encode()] = (tuple(value.encode() for value in values), 0)

    def delete(self, entry: str) -> None:
        """Take an entry out."""
        del self._entries[entry.encode()]

    async def read(self, source: LdapSource, since: Mark | None, take: Callable[[Entry], None]) -> Reading:
        """See `port.Reader`."""
        await asyncio.sleep(0)
        self.reads.append(since)
        if self.down:
            raise DirectoryUnavailable("down, by order of the test")
        after = -1 if since is None else int(since.value)
        taken = 0
        for entry, (values, count) in self._entries.items():
            if count > after:
                if taken == self.ends_after:
                    raise DirectoryUnavailable("connection lost, by order of the test")
                take(Entry(entry, values))
                taken += 1
        groups = {entry.encode(): names for entry, names in self.groups.items()} if source.groups else {}
        return Reading(frozenset(self._entries), Mark(source.url, str(self._count)), since is None, groups)


@dataclasses.dataclass
class MemoryPeople:
    """The People port: nobody but whom `found` names by address, each with any password."""

    found: dict[str, Found] = dataclasses.field(default_factory=dict)
    asked: list[str] = dataclasses.field(default_factory=list)

    async def bind(self, source: LdapSource, address: str, password: str) -> Found | None:  # noqa: ARG002  # the port's
        """See `port.People`."""
        self.asked.append(address)
        return self.found.get(address)

    async def everybody(self, source: LdapSource) -> list[Found]:  # noqa: ARG002  # the port's
        """See `port.People`."""
        return list(self.found.values())
