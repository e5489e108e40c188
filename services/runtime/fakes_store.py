"""A store in memory and a disk that fails on demand, for tests. Both keep the whole contract of the real ones."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from typing import Literal

from services.core.clock import Clock, SystemClock
from services.core.errors import GatepostError, ObjectConflict, ObjectNotFound, StoreFull, StoreUnavailable
from services.runtime.disk import Disk
from services.runtime.keys import checked_key, checked_prefix
from services.runtime.store import Stat

Operation = Literal["put", "get", "delete", "list", "check", "write", "commit"]


class MemoryStore:
    """A Store in memory. Set `down` or `full`, or ask for a failure, a delay or a stop of one operation."""

    def __init__(self, clock: Clock | None = None, *, within: float = 10.0) -> None:
        self.objects: dict[str, bytes] = {}
        self.calls: list[tuple[Operation, str]] = []  # every call, the failed ones too
        self.down = False
        self.full = False
        self.uploads: list[MemoryUpload] = []  # that were begun and not discarded
        self._clock = clock or SystemClock()
        self._modified: dict[str, float] = {}
        self._within = within
        self._failures: dict[Operation, deque[tuple[GatepostError, bool]]] = defaultdict(deque)
        self._delays: dict[Operation, float] = {}
        self._gates: dict[Operation, asyncio.Event] = {}
        self._closed = False

    # --- faults

    def fail(self, operation: Operation, error: GatepostError, *, times: int = 1, landed: bool = False) -> None:
        """Let the next calls raise `error`. `landed`: they have their effect, and only the answer is lost."""
        self._failures[operation].extend([(error, landed)] * times)

    def delay(self, operation: Operation, seconds: float) -> None:
        """Let every call of the operation take so long from now on; 0 ends that."""
        self._delays[operation] = seconds

    def hold(self, operation: Operation) -> asyncio.Event:
        """Let every call of the operation wait, before it has any effect, until the event that is returned is set."""
        self._gates[operation] = gate = asyncio.Event()
        return gate

    # --- the port

    async def put(self, key: str, parts: Sequence[bytes | memoryview]) -> None:
        """As Store.put."""
        body = b"".join(parts)
        lost = await self._enter("put", checked_key(key))
        if self.full:
            raise StoreFull("the store in memory is told to be full")
        if self.objects.setdefault(key, body) != body:
            raise ObjectConflict(f"other bytes under {key}")
        self._modified.setdefault(key, self._clock.now())
        _raise(lost)

    def begin(self, room: int) -> MemoryUpload:
        """As Store.begin."""
        upload = MemoryUpload(self, room)
        self.uploads.append(upload)
        return upload

    async def write_upload(self, upload: MemoryUpload, parts: Sequence[bytes | memoryview]) -> None:
        """For MemoryUpload."""
        lost = await self._enter("write", "")
        if self.full:
            raise StoreFull("the store in memory is told to be full")
        for part in parts:
            upload.octets += part
        _raise(lost)

    async def commit_upload(self, upload: MemoryUpload, objects: Sequence[tuple[str, bytes]]) -> None:
        """For MemoryUpload."""
        lost = await self._enter("commit", " ".join(checked_key(key) for key, _ in objects))
        for key, head in objects:
            self.objects[key] = head + upload.octets
            self._modified[key] = self._clock.now()
        _raise(lost)

    async def get(self, key: str) -> bytes:
        """As Store.get."""
        lost = await self._enter("get", checked_key(key))
        if key not in self.objects:
            raise ObjectNotFound(key)
        _raise(lost)
        return self.objects[key]

    async def delete(self, key: str) -> None:
        """As Store.delete."""
        lost = await self._enter("delete", checked_key(key))
        self.objects.pop(key, None)
        self._modified.pop(key, None)
        _raise(lost)

    async def list(self, prefix: str) -> AsyncIterator[Stat]:
        """As Store.list."""
        bare = checked_prefix(prefix)
        lost = await self._enter("list", prefix)
        inside = bare and f"{bare}/"
        for key in [key for key in self.objects if key.startswith(inside)]:
            if key in self.objects:  # not deleted since
                yield Stat(key, len(self.objects[key]), self._modified[key])
        _raise(lost)

    async def check(self) -> None:
        """As Store.check."""
        lost = await self._enter("check", "")
        if self.full:
            raise StoreFull("the store in memory is told to be full")
        _raise(lost)

    async def close(self) -> None:
        """As Store.close."""
        self._closed = True

    async def _enter(self, operation: Operation, key: str) -> GatepostError | None:
        """Pass the faults before the effect; return the one that comes after it."""
        self.calls.append((operation, key))
        if self._closed:
            raise StoreUnavailable("the store is closed")
        try:
            async with asyncio.timeout(self._within):
                await asyncio.sleep(self._delays.get(operation, 0.0))
                if gate := self._gates.get(operation):
                    await gate.wait()
        except TimeoutError as error:
            raise StoreUnavailable(f"{operation}: no answer within {self._within:g} s") from error
        if self.down:
            raise StoreUnavailable("the store in memory is told to be down")
        if not self._failures[operation]:
            return None
        failure, landed = self._failures[operation].popleft()
        if landed:
            return failure
        raise failure


class MemoryUpload:
    """An Upload of a MemoryStore."""

    def __init__(self, store: MemoryStore, room: int) -> None:
        self.room = room
        self.octets = bytearray()
        self._store = store

    async def write(self, parts: Sequence[bytes | memoryview]) -> None:
        """As Upload.write."""
        self._check()
        await self._store.write_upload(self, parts)

    async def commit(self, objects: Sequence[tuple[str, bytes]]) -> None:
        """As Upload.commit."""
        self._check()
        await self._store.commit_upload(self, objects)

    def discard(self) -> None:
        """As Upload.discard."""
        if self in self._store.uploads:
            self._store.uploads.remove(self)

    def _check(self) -> None:
        if self not in self._store.uploads:
            raise StoreUnavailable("the upload has been given up")


def _raise(error: GatepostError | None) -> None:
    if error is not None:
        raise error


Call = Literal[
    "open",
    "close",
    "read",
    "pread",
    "writev",
    "pwrite",
    "fdatasync",
    "fsync",
    "fstat",
    "stat",
    "link",
    "unlink",
    "mkdir",
    "list",
]


class FaultyDisk(Disk):
    """The real disk, with a record of the calls that matter for durability; any call can be made to fail or to hang."""

    def __init__(self) -> None:
        self.calls: list[tuple[Call, str]] = []  # name and path: of writev, fdatasync and fsync the file's
        self.free_octets: int | None = None  # what free() tells; None: the truth
        self.most_written: int | None = None  # octets that one writev takes at most
        self._paths: dict[int, str] = {}
        self._failures: dict[Call, deque[int]] = defaultdict(deque)
        self._gates: dict[Call, threading.Event] = {}

    def fail(self, call: Call, number: int, *, times: int = 1) -> None:
        """Let the next calls raise OSError with this errno."""
        self._failures[call].extend([number] * times)

    def hang(self, call: Call) -> threading.Event:
        """Let every such call block its thread until the event that is returned is set."""
        self._gates[call] = gate = threading.Event()
        return gate

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        self._pass("open", path)
        file = super().open(path, flags, mode)
        self._paths[file] = path
        return file

    def close(self, file: int) -> None:
        self._pass("close", self._paths[file])
        super().close(file)

    def read(self, file: int, octets: int) -> bytes:
        self._pass("read", self._paths[file])
        return super().read(file, octets)

    def writev(self, file: int, buffers: list[memoryview]) -> int:
        self._pass("writev", self._paths[file])
        if self.most_written is not None:
            buffers = [buffers[0][: self.most_written]]
        return super().writev(file, buffers)

    def pread(self, file: int, octets: int, offset: int) -> bytes:
        self._pass("pread", self._paths[file])
        return super().pread(file, octets, offset)

    def pwrite(self, file: int, data: memoryview, offset: int) -> int:
        self._pass("pwrite", self._paths[file])
        return super().pwrite(file, data if self.most_written is None else data[: self.most_written], offset)

    def fdatasync(self, file: int) -> None:
        self._pass("fdatasync", self._paths[file])
        super().fdatasync(file)

    def fsync(self, file: int) -> None:
        self._pass("fsync", self._paths[file])
        super().fsync(file)

    def fstat(self, file: int) -> os.stat_result:
        self._pass("fstat", self._paths[file])
        return super().fstat(file)

    def stat(self, path: str) -> os.stat_result:
        self._pass("stat", path)
        return super().stat(path)

    def free(self, path: str) -> int:
        return super().free(path) if self.free_octets is None else self.free_octets

    def link(self, path: str, target: str) -> None:
        self._pass("link", target)
        super().link(path, target)

    def unlink(self, path: str) -> None:
        self._pass("unlink", path)
        super().unlink(path)

    def mkdir(self, path: str) -> None:
        self._pass("mkdir", path)
        super().mkdir(path)

    def scandir(self, path: str) -> list[os.DirEntry[str]]:
        self._pass("list", path)
        return super().scandir(path)

    def _pass(self, call: Call, path: str) -> None:
        self.calls.append((call, path))
        if gate := self._gates.get(call):
            gate.wait()
        if self._failures[call]:
            number = self._failures[call].popleft()
            raise OSError(number, os.strerror(number), path)
