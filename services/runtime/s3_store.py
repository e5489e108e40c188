"""The object store in an S3 bucket, through obstore."""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime
import io
import os
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store as Client

from services.core.errors import ObjectConflict, ObjectNotFound, StoreFull, StoreUnavailable
from services.runtime.keys import checked_key, checked_prefix, is_key
from services.runtime.s3_location import S3Location
from services.runtime.s3_upload import PART, S3Upload
from services.runtime.store import Stat

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config  # at run time these are plain dicts

T = TypeVar("T")

_FAILURES: Final = (BaseError, OSError, ValueError)  # obstore raises all three
_PIECE: Final = 1_048_576  # octets copied at a time: a copy holds the loop, and 1 MB takes 0.1 ms
_LONG_AT_ONCE: Final = 3  # uploads on their way into the bucket; each holds some parts in memory
_PAGE: Final = 1000  # objects of a listing's answer, by S3's API
_CODE: Final = re.compile(r"<Code>(\w{1,60})</Code>")
_STATUS: Final = re.compile(r"status code: (\d{3})")
_KIND: Final = re.compile(r"kind: (Connect|Timeout|Request|Decode|Interrupted)\b")
_FULL: Final = re.compile(r"StorageFull|Quota|InsufficientCapacity|InsufficientStorage")


class S3Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a call to S3 may take; all in seconds but `pace`."""

    connect: float = 2.0
    answer: float = 5.0  # one request of a megabyte or less, or a gap within a longer answer
    retry: float = 8.0  # no further attempt after this
    retries: int = 2
    whole: float = 10.0  # a call in all, its retries included
    pace: float = 2_000_000.0  # octets a second that a longer body is given on top

    def deadline(self, size: int) -> float:
        """Return the seconds that a call with a body of `size` octets may take."""
        return self.whole + size / self.pace


class S3Store:
    """A Store in a bucket. Make it after the last fork: a client that was used before one hangs in the child.

    A put is one conditional request (If-None-Match: *) whatever its size: a multipart upload can't be conditional, and
    what it leaves when it breaks off is found by no listing. Only what was begun with `begin` and is long goes in
    parts, under a key of its own; the lifecycle rule of `s3_provision` removes what breaks off. Durable means what the
    server means by its 200: MinIO needs MINIO_FS_OSYNC=on.
    """

    def __init__(self, location: S3Location, limits: S3Limits | None = None, *, spool: str | None = None) -> None:
        """`spool` is the folder where long messages wait until they have come in; None: the system's for such files."""
        self._limits = limits or S3Limits()
        self._name = repr(location)
        answer = self._limits.answer
        # A body on its way out counts as silence, and a long one coming in as one request: so three ways to keep time.
        self._short = self._client(location, {"timeout": _seconds(answer)})
        self._out = self._client(location, {"timeout": "1h"})  # the call's own deadline is the limit
        self._in = self._client(location, {"timeout": "1h", "read_timeout": _seconds(answer)})
        self._pid = os.getpid()
        self._closed = False
        self._spool = spool
        self._spoolers = concurrent.futures.ThreadPoolExecutor(4, "store-spool")
        self._lanes = asyncio.Semaphore(_LONG_AT_ONCE)

    async def put(self, key: str, parts: Sequence[bytes | memoryview]) -> None:
        """As Store.put."""
        checked_key(key)
        body = await _joined(parts)
        client = self._short if len(body) <= _PIECE else self._out
        deadline = self._limits.deadline(len(body))
        try:
            await self._call(
                "put", deadline, lambda: obstore.put_async(client, key, body, mode="create", use_multipart=False)
            )
        except _ExistsError:
            await self._compare(key, body)

    def begin(self, room: int) -> S3Upload:  # noqa: ARG002  # a head of any length is as good here
        """As Store.begin."""
        return S3Upload(self, self._spoolers, self._spool)

    async def put_long(self, key: str, octets: Callable[[], AsyncIterator[bytes]], size: int) -> None:
        """For S3Upload: the pieces become the parts of one object, a few at a time."""
        async with self._lanes:
            await self._call(
                "upload",
                self._limits.deadline(size),
                lambda: obstore.put_async(
                    self._out, checked_key(key), octets(), use_multipart=True, chunk_size=PART, max_concurrency=2
                ),
            )

    async def get(self, key: str) -> bytes:
        """As Store.get."""
        checked_key(key)
        result = await self._call("get", self._limits.whole, lambda: obstore.get_async(self._in, key))
        size = result.meta["size"]
        return await self._call("get", self._limits.deadline(size), lambda: _body(result, size))

    async def delete(self, key: str) -> None:
        """As Store.delete."""
        checked_key(key)
        await self._call("delete", self._limits.whole, lambda: obstore.delete_async(self._short, key))

    async def list(self, prefix: str) -> AsyncIterator[Stat]:
        """As Store.list, a page of the server at a time."""
        bare = checked_prefix(prefix)
        self._check_usable()
        pages = obstore.list(self._short, prefix=bare or None, chunk_size=_PAGE)
        while page := await self._call("list", self._limits.whole, lambda: anext(pages, [])):
            for item in page:
                if is_key(item["path"]):
                    yield Stat(item["path"], item["size"], item["last_modified"].timestamp())

    async def check(self) -> None:
        """As Store.check: write a probe, which no listing shows, and remove it."""
        probe = f".probe/{secrets.token_hex(8)}"

        async def put() -> None:
            await obstore.put_async(self._short, probe, b"probe\n", mode="create", use_multipart=False)

        await self._call("check", self._limits.whole, put)
        await self._call("check", self._limits.whole, lambda: obstore.delete_async(self._short, probe))

    async def close(self) -> None:
        """Take no more calls. Connections go with the store."""
        self._closed = True
        self._spoolers.shutdown(wait=False)

    # --- steps

    def _client(self, location: S3Location, timing: ClientConfig) -> Client:
        config: S3Config = {"region": location.region}
        if location.endpoint:
            config["endpoint"] = location.endpoint
        if location.access_key:
            config["access_key_id"] = location.access_key
            config["secret_access_key"] = location.secret_key
        if location.session_token:
            config["session_token"] = location.session_token
        options: ClientConfig = {"connect_timeout": _seconds(self._limits.connect), "allow_http": location.plain}
        return Client(
            location.bucket,
            prefix=location.prefix or None,
            config=config,
            client_options={**options, **timing},
            retry_config={
                "max_retries": self._limits.retries,
                "retry_timeout": datetime.timedelta(seconds=self._limits.retry),
            },
        )

    async def _compare(self, key: str, body: bytes | memoryview) -> None:
        try:
            there = await self.get(key)
        except ObjectNotFound as error:
            raise StoreUnavailable("put: deleted by another while it was stored") from error
        if there != body:
            raise ObjectConflict(f"other bytes under {key}")

    def _check_usable(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if os.getpid() != self._pid:
            raise RuntimeError("an S3 store from before a fork hangs: make it in the process that uses it")

    async def _call(self, operation: str, deadline: float, call: Callable[[], Awaitable[T]]) -> T:
        self._check_usable()
        try:
            async with asyncio.timeout(deadline):
                return await call()
        except AlreadyExistsError as error:
            raise _ExistsError from error
        except TimeoutError as error:
            raise StoreUnavailable(f"{operation}: no answer within {deadline:.1f} s from {self._name}") from error
        except _FAILURES as error:
            raise self._typed(operation, error) from error

    def _typed(self, operation: str, error: Exception) -> ObjectNotFound | StoreUnavailable:
        """Return what the failure means. Nothing of its text is used but S3's code, for the text quotes requests."""
        text = str(error)
        code = _first(_CODE, text)
        # A missing bucket and a proxy that knows no such host answer 404 too: neither says that the message ended.
        if isinstance(error, FileNotFoundError) and code == "NoSuchKey":
            return ObjectNotFound(operation)
        reason = code or _first(_KIND, text) or f"HTTP {_first(_STATUS, text) or 'failed'}"
        kind = StoreFull if _FULL.search(code) or _first(_STATUS, text) == "507" else StoreUnavailable
        return kind(f"{operation}: {reason} from {self._name}")


class _ExistsError(Exception):
    """The key is taken."""


def _seconds(value: float) -> str:
    return f"{round(value * 1000)}ms"


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""


async def _joined(parts: Sequence[bytes | memoryview]) -> bytes | memoryview:
    """Return the parts as one body; a long one is copied on a thread in pieces, so that the loop gets its turns."""
    if len(parts) == 1:
        return parts[0]
    if sum(len(part) for part in parts) <= _PIECE:
        return b"".join(parts)
    return await asyncio.to_thread(_copied, parts)


def _copied(parts: Sequence[bytes | memoryview]) -> bytes:
    body = io.BytesIO()
    for part in parts:
        view = memoryview(part)
        for at in range(0, len(view), _PIECE):
            body.write(view[at : at + _PIECE])
    return body.getvalue()  # as below


async def _body(result: obstore.GetResult, size: int) -> bytes:
    if size <= _PIECE:
        return bytes(await result.bytes_async())
    body = io.BytesIO()
    async for piece in result.stream(min_chunk_size=_PIECE):
        body.write(piece)
    return body.getvalue()  # CPython hands over its own buffer: no copy
