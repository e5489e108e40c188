"""Uploads of the S3 store: first into a file on this machine that has no name, then into the bucket.

S3 takes parts of 5 MB and more. To collect them in memory would cost that much for each client, for as long as the
slowest of them likes; and what is refused in the end would have been sent to the bucket and left there half.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import IO, Final, Protocol, TypeVar

from services.core.errors import StoreFull, StoreUnavailable
from services.runtime.keys import checked_key

T = TypeVar("T")

PART: Final = 5_242_880  # octets; the least that S3 takes
_WITHIN: Final = 30.0  # s that the disk may take for a piece
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class Bucket(Protocol):
    """Where an upload ends."""

    async def put(self, key: str, parts: Sequence[bytes | memoryview]) -> None:
        """As Store.put."""
        ...

    async def put_long(self, key: str, octets: Callable[[], AsyncIterator[bytes]], size: int) -> None:
        """Store what `octets` yields, in pieces of PART octets, under a new key."""
        ...


class S3Upload:
    """An Upload into a bucket. The file is not synced: what it holds is nobody's until it is in the bucket."""

    def __init__(self, bucket: Bucket, pool: concurrent.futures.Executor, folder: str | None) -> None:
        self._bucket = bucket
        self._pool = pool
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._size = 0
        self._over = False
        self._lock = threading.Lock()  # a call that nobody waits for any longer may still be at work

    async def write(self, parts: Sequence[bytes | memoryview]) -> None:
        """As Upload.write."""
        await self._run(partial(self._append, parts))

    async def commit(self, objects: Sequence[tuple[str, bytes]]) -> None:
        """As Upload.commit: one object after the other."""
        for key, head in [(checked_key(key), head) for key, head in objects]:
            size = len(head) + self._size
            if size <= PART:
                await self._bucket.put(key, [head, await self._run(partial(self._read, 0, PART))])
            else:
                await self._bucket.put_long(key, partial(self._pieces, head), size)

    def discard(self) -> None:
        """As Upload.discard."""
        if not self._over:
            self._over = True
            try:
                self._pool.submit(self._close)
            except RuntimeError:  # the store is closed, and its threads are gone
                self._close()

    async def _pieces(self, head: bytes) -> AsyncIterator[bytes]:
        at = PART - len(head)
        yield head + await self._run(partial(self._read, 0, at))
        while at < self._size:
            yield await self._run(partial(self._read, at, PART))
            at += PART

    async def _run(self, call: Callable[[], T]) -> T:
        if self._over:
            raise StoreUnavailable("the upload has been given up")
        try:
            async with asyncio.timeout(_WITHIN):
                return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except TimeoutError as error:
            raise StoreUnavailable(f"the disk did not answer within {_WITHIN:g} s") from error
        except RuntimeError as error:
            raise StoreUnavailable("the store is closed") from error
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, "error")
            kind = StoreFull if error.errno in _FULL else StoreUnavailable
            raise kind(f"spool: {reason} ({error.strerror})") from error

    def _append(self, parts: Sequence[bytes | memoryview]) -> None:
        with self._lock:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="gatepost-", dir=self._folder, buffering=0)  # noqa: SIM115  # closed by _close
            for part in parts:
                view = memoryview(part).cast("B")
                while len(view):
                    view = view[self._file.write(view) :]
                self._size += len(part)

    def _read(self, offset: int, octets: int) -> bytes:
        with self._lock:
            if self._file is None:
                return b""
            pieces = []
            while octets > 0 and (piece := os.pread(self._file.fileno(), octets, offset)):
                pieces.append(piece)
                offset, octets = offset + len(piece), octets - len(piece)
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
