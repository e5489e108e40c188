"""The object store in a folder of this machine: what `gatepost up` uses without set-up."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, ParamSpec, TypeVar

from services.core.clock import Clock, SystemClock
from services.core.errors import StartError, StoreUnavailable
from services.runtime.disk import Disk
from services.runtime.folder import Folder
from services.runtime.store import Stat

P = ParamSpec("P")
T = TypeVar("T")

RESERVE: Final = 67_108_864  # octets left free: an embedded broker on the same disk stops for good when that is full
_LIMIT: Final = 1024  # operations under way or waiting, those that nobody waits for any longer included


class FolderStore:
    """A Store whose calls run on threads of its own: writers, whose syncs the file system then commits together, and
    readers, so that a message is read while others are synced.

    A call raises StoreUnavailable after `within` seconds; a put that was given up may still land.
    """

    def __init__(
        self,
        root: str,
        *,
        disk: Disk,
        writers: int = 16,
        readers: int = 4,
        within: float = 10.0,
        reserve: int = RESERVE,
    ) -> None:
        self._folder = Folder(root, disk=disk, reserve=reserve)
        self._writers = concurrent.futures.ThreadPoolExecutor(writers, "store-write")
        self._readers = concurrent.futures.ThreadPoolExecutor(readers, "store-read")
        self._within = within
        self._jobs: set[concurrent.futures.Future[Any]] = set()
        self._closed = False

    @classmethod
    async def open(
        cls,
        root: str,
        *,
        disk: Disk | None = None,
        clock: Clock | None = None,
        within: float = 10.0,
        reserve: int = RESERVE,
    ) -> FolderStore:
        """Return the store in `root`, made where it is missing. Raises StartError when that can't be a store."""
        store = cls(await asyncio.to_thread(os.path.abspath, root), disk=disk or Disk(), within=within, reserve=reserve)
        try:
            await store._run(store._writers, store._folder.create, clock or SystemClock())
            await store.check()
        except (OSError, StoreUnavailable) as error:
            await store.close()
            reason = error.strerror if isinstance(error, OSError) else error
            raise StartError(f"store: the folder {root} can't be used: {reason}") from error
        return store

    async def put(self, key: str, parts: Sequence[bytes | memoryview]) -> None:
        """As Store.put."""
        await self._run(self._writers, self._folder.put, key, parts)

    async def get(self, key: str) -> bytes:
        """As Store.get."""
        return await self._run(self._readers, self._folder.get, key)

    async def delete(self, key: str) -> None:
        """As Store.delete."""
        await self._run(self._writers, self._folder.delete, key)

    async def list(self, prefix: str) -> AsyncIterator[Stat]:
        """As Store.list: one directory after the other, so that what is held at a time is a directory's worth."""
        pending = await self._run(self._readers, self._folder.start_list, prefix)
        while pending:
            for stat in await self._run(self._readers, self._folder.list_on, pending):
                yield stat

    async def check(self) -> None:
        """As Store.check."""
        await self._run(self._writers, self._folder.check)

    async def close(self) -> None:
        """Wait for what is under way, for as long as a call may take, and let the threads go."""
        self._closed = True
        await asyncio.to_thread(concurrent.futures.wait, tuple(self._jobs), timeout=self._within)
        for pool in (self._writers, self._readers):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _run(
        self,
        pool: concurrent.futures.ThreadPoolExecutor,
        call: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if len(self._jobs) >= _LIMIT:
            raise StoreUnavailable(f"{_LIMIT} operations of the disk are under way")
        job = pool.submit(call, *args, **kwargs)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        try:
            async with asyncio.timeout(self._within):
                return await asyncio.wrap_future(job)
        except TimeoutError as error:
            raise StoreUnavailable(f"the disk did not answer within {self._within:g} s") from error
