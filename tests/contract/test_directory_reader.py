"""What every Reader keeps to: the one in memory and the one over LDAP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from schemas.events import LdapSource
from services.core.clock import SystemClock
from services.core.errors import DirectoryUnavailable
from services.directory.config import DirectoryConfig
from services.directory.fakes import MemoryReader
from services.directory.ldap import LdapReader
from services.directory.port import Entry, Mark, Reader, Reading
from tests.house.slapd import ADMIN, BASE, PASSWORD, PEOPLE, Slapd, person


class Backend(Protocol):
    """A directory that a test can change."""

    reader: Reader
    source: LdapSource

    async def put(self, name: str, address: str) -> None: ...

    async def delete(self, name: str) -> None: ...

    async def down(self) -> None: ...


class Memory:
    def __init__(self) -> None:
        self._memory = MemoryReader()
        self.reader: Reader = self._memory
        self.source = LdapSource(url="ldaps://memory", base=BASE)

    async def put(self, name: str, address: str) -> None:
        self._memory.put(name, address)

    async def delete(self, name: str) -> None:
        self._memory.delete(name)

    async def down(self) -> None:
        self._memory.down = True


class Ldap:
    def __init__(self, slapd: Slapd) -> None:
        self._slapd = slapd
        self._there: set[str] = set()
        self.reader: Reader = LdapReader(
            DirectoryConfig(directory_secrets=str(slapd.secrets), directory_page=2),
            {"GATEPOST_LDAP_X": PASSWORD},
            SystemClock(),
        )
        self.source = LdapSource(
            url=f"ldap://localhost:{slapd.port}",
            base=BASE,
            bind_dn=ADMIN,
            password_env="GATEPOST_LDAP_X",
            ca_file="ca.pem",
        )

    async def put(self, name: str, address: str) -> None:
        if name in self._there:
            await self._slapd.change(f"dn: uid={name},{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: {address}\n")
        else:
            await self._slapd.change(person(name, mail=address))
        self._there.add(name)

    async def delete(self, name: str) -> None:
        await self._slapd.delete(name)

    async def down(self) -> None:
        await self._slapd.stop()


@pytest.fixture(params=["memory", "slapd"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    if request.param == "memory":
        yield Memory()
        return
    slapd = Slapd(tmp_path / "slapd")
    slapd.load()
    async with slapd:
        yield Ldap(slapd)


async def read(backend: Backend, since: Mark | None = None) -> tuple[Reading, dict[bytes, tuple[bytes, ...]]]:
    entries: dict[bytes, tuple[bytes, ...]] = {}

    def take(entry: Entry) -> None:
        entries[entry.id] = entry.values

    return await backend.reader.read(backend.source, since, take), entries


async def test_everything_is_handed_over_without_a_mark(backend: Backend) -> None:
    for name in ("a", "b", "c", "d", "e"):
        await backend.put(name, f"{name}@acme.test")
    reading, entries = await read(backend)
    assert reading.whole
    assert reading.mark is not None
    assert reading.present == entries.keys()
    assert sorted(entries.values()) == [(f"{name}@acme.test".encode(),) for name in "abcde"]


async def test_after_a_mark_what_changed_is_handed_over_under_its_old_id_and_what_went_is_not_there(
    backend: Backend,
) -> None:
    for name in ("a", "b", "c"):
        await backend.put(name, f"{name}@acme.test")
    first, before = await read(backend)
    ids = {values[0]: entry for entry, values in before.items()}
    await backend.put("a", "changed@acme.test")
    await backend.put("new", "new@acme.test")
    await backend.delete("b")
    second, after = await read(backend, first.mark)
    assert not second.whole
    assert after[ids[b"a@acme.test"]] == (b"changed@acme.test",)
    assert (b"new@acme.test",) in after.values()
    assert ids[b"b@acme.test"] not in second.present | after.keys()
    assert second.present >= after.keys() | {ids[b"c@acme.test"]}


async def test_a_directory_that_is_down_is_unavailable(backend: Backend) -> None:
    await backend.put("a", "a@acme.test")
    await backend.down()
    with pytest.raises(DirectoryUnavailable):
        await read(backend)
