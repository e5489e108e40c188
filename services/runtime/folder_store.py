"""The object store in a folder of this machine: what `gatepost up` uses without set-up."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, ParamSpec, TypeVar

from services.core.clock import Clock, SystemClock
from services.core.errors import StartError, StoreUnavailable
from services.runtime.disk import Disk
from services.runtime.folder import Folder
from services.runtime.folder_draft import Draft
from services.runtime.keys import checked_key
from services.runtime.store import Stat

log = logging.getLogger("gatepost.store")

P = ParamSpec("P")
T = TypeVar("T")

RESERVE: Final = 67_108_864  # octets left free: an embedded broker on the same disk stops for good when that is full
_PACE: Final = 2_000_000.0  # octets a second that the commit of an upload is given on top
_WRITE_WITHIN: Final = 30.0  # s that a piece of an upload may take: others' long syncs come first
_LIMIT: Final = 1024  # operations under way or waiting, those that nobody waits for any longer included


class FolderStore:
    """A Store whose calls run on threads of its own: writers, whose syncs the file system then commits together, and
    readers, so that a message is read while others are synced. Uploads have threads of their own: a long sync holds up
    no short message.

    A call raises StoreUnavailable after `within` seconds; a put that was given up may still land.
    """

    def __init__(
        self,
        root: str,
        *,
        disk: Disk,
        writers: int = 16,
        readers: int = 4,
        uploaders: int = 6,
        within: float = 10.0,
        reserve: int = RESERVE,
    ) -> None:
        self._folder = Folder(root, disk=disk, reserve=reserve)
        self._writers = concurrent.futures.ThreadPoolExecutor(writers, "store-write")
        self._readers = concurrent.futures.ThreadPoolExecutor(readers, "store-read")
        self._uploaders = concurrent.futures.ThreadPoolExecutor(uploaders, "store-upload")
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

    def begin(self, room: int) -> FolderUpload:
        """As Store.begin."""
        return FolderUpload(self, Draft(self._folder, room))

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
        for pool in (self._writers, self._readers, self._uploaders):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _run(
        self,
        pool: concurrent.futures.ThreadPoolExecutor,
        call: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        return await self._run_within(self._within, pool, call, *args, **kwargs)

    async def write_upload(self, draft: Draft, parts: Sequence[bytes | memoryview]) -> None:
        """For FolderUpload."""
        await self._run_within(_WRITE_WITHIN, self._uploaders, draft.write, parts)

    async def commit_upload(self, draft: Draft, objects: Sequence[tuple[str, bytes]]) -> None:
        """For FolderUpload."""
        within = self._within + draft.size * len(objects) / _PACE
        await self._run_within(within, self._uploaders, draft.commit, objects)

    def discard_upload(self, draft: Draft) -> None:
        """For FolderUpload. A store that is closed has no threads left: what is half-written then is swept later."""
        if not self._closed:
            job = self._uploaders.submit(draft.close)
            self._jobs.add(job)
            job.add_done_callback(self._discarded)

    def _discarded(self, job: concurrent.futures.Future[None]) -> None:
        self._jobs.discard(job)
        if not job.cancelled() and (error := job.exception()) is not None:
            log.warning("event=upload-left error=%s reason=%s", type(error).__name__, error)

    async def _run_within(
        self,
        within: float,
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
            async with asyncio.timeout(within):
                return await asyncio.wrap_future(job)
        except TimeoutError as error:
            raise StoreUnavailable(f"the disk did not answer within {within:g} s") from error


class FolderUpload:
    """An Upload into a folder."""

    def __init__(self, store: FolderStore, draft: Draft) -> None:
        self._store = store
        self._draft = draft
        self._over = False

    async def write(self, parts: Sequence[bytes | memoryview]) -> None:
        """As Upload.write."""
        await self._store.write_upload(self._draft, parts)

    async def commit(self, objects: Sequence[tuple[str, bytes]]) -> None:
        """As Upload.commit."""
        await self._store.commit_upload(self._draft, [(checked_key(key), head) for key, head in objects])

    def discard(self) -> None:
        """As Upload.discard."""
        if not self._over:
            self._over = True
            self._store.discard_upload(self._draft)
