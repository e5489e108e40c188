"""What S3 says when it is in trouble, and what the store makes of it: a server that answers from a script."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.core.errors import ObjectNotFound, StartError, StoreFull, StoreUnavailable
from services.runtime.s3_location import S3Location
from services.runtime.s3_provision import provision
from services.runtime.s3_store import S3Limits, S3Store

KEY = "mail/acme/7Q/01A7Q"
SECRET = "very-secret"
LIMITS = S3Limits(connect=0.3, answer=0.3, retry=1.0, retries=2, whole=1.0)
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "x"\r\n\r\n'


def answer(status: str, body: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def failure(status: str, code: str) -> bytes:
    return answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>")


def head_of(size: int) -> bytes:
    modified = "Last-Modified: Mon, 23 Nov 2026 00:00:00 GMT"
    return f'HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nETag: "x"\r\n{modified}\r\n\r\n'.encode()


class ScriptedS3:
    """Answers each request with the next line of the script, the last one again and again; an empty one is silence.

    A tuple is sent piece by piece, with pauses of half of what the store waits for an answer.
    """

    def __init__(self, *script: bytes | tuple[bytes, ...]) -> None:
        self.script = list(script)
        self.requests: list[str] = []
        self.sessions: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = asyncio.ensure_future(self._session(reader, writer))
        self.sessions.add(session)
        with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            await session
        self.sessions.discard(session)
        writer.transport.abort()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            for line in head.splitlines():
                if line.lower().startswith("content-length:"):
                    await reader.readexactly(int(line.split(":")[1]))
            reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            for piece in reply if isinstance(reply, tuple) else (reply,):
                writer.write(piece)
                await writer.drain()
                if isinstance(reply, tuple):
                    await asyncio.sleep(LIMITS.answer / 2)

    async def stop(self) -> None:
        for session in self.sessions:
            session.cancel()
        while self.sessions:  # noqa: ASYNC110  # what is waited for is the end of other tasks' last lines
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def scripted(*script: bytes | tuple[bytes, ...]) -> AsyncIterator[tuple[S3Store, ScriptedS3, S3Location]]:
    server = ScriptedS3(*script)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    location = S3Location(
        bucket="mail-bucket", endpoint=f"http://127.0.0.1:{port}", access_key="key-id", secret_key=SECRET
    )
    store = S3Store(location, LIMITS)
    try:
        yield store, server, location
    finally:
        await store.close()
        listener.close()
        async with asyncio.timeout(5):
            await server.stop()


async def every_call(store: S3Store) -> list[object]:
    async def listed() -> None:
        async for _ in store.list(""):
            pass

    calls = (store.put(KEY, [b"x"]), store.get(KEY), store.delete(KEY), listed(), store.check())
    return list(await asyncio.gather(*calls, return_exceptions=True))


async def test_a_server_that_hangs_is_given_up() -> None:
    async with scripted(b"") as (store, _, _), asyncio.timeout(5):
        results = await every_call(store)
        with pytest.raises(StoreUnavailable):  # a long body has its own clock
            await store.put(KEY, [b"x" * 1_100_000])
    assert [type(result) for result in results] == [StoreUnavailable] * 5


async def test_an_answer_that_stops_in_the_middle_is_given_up() -> None:
    async with scripted(head_of(2_000_000) + b"half", b"") as (store, _, _), asyncio.timeout(5):
        with pytest.raises(StoreUnavailable):
            await store.get(KEY)


async def test_a_slow_line_is_no_hung_server() -> None:
    async with scripted((head_of(20), *[b"12345"] * 4)) as (store, _, _):
        assert await store.get(KEY) == b"12345" * 4
    async with scripted((b"", b"", b"", OK)) as (store, _, _):
        await store.put(KEY, [b"x" * 1_100_000])


async def test_nobody_there() -> None:
    async with scripted(OK) as (_, _, location):
        pass
    for result in await every_call(S3Store(location, LIMITS)):
        assert type(result) is StoreUnavailable
        assert "Connect" in str(result)


@pytest.mark.parametrize(
    "reply",
    [
        answer("404 Not Found"),
        answer("404 Not Found", "default backend"),
        failure("404 Not Found", "NoSuchBucket"),
        failure("404 Not Found", "NoSuchUpload"),
        answer("410 Gone"),
    ],
)
async def test_only_a_missing_key_ends_a_message(reply: bytes) -> None:
    async with scripted(reply) as (store, _, _):
        for result in await every_call(store):
            assert type(result) is StoreUnavailable
    async with scripted(failure("404 Not Found", "NoSuchKey")) as (store, _, _):
        with pytest.raises(ObjectNotFound):
            await store.get(KEY)


@pytest.mark.parametrize(
    "reply",
    [
        failure("507 Insufficient Storage", "XMinioStorageFull"),
        answer("507 Insufficient Storage"),
        failure("403 Forbidden", "QuotaExceeded"),
        failure("400 Bad Request", "XMinioAdminBucketQuotaExceeded"),
    ],
)
async def test_full(reply: bytes) -> None:
    async with scripted(reply) as (store, _, _):
        with pytest.raises(StoreFull):
            await store.put(KEY, [b"x"])
        with pytest.raises(StoreFull):
            await store.check()


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (failure("403 Forbidden", "SignatureDoesNotMatch"), "SignatureDoesNotMatch"),
        (failure("403 Forbidden", "AccessDenied"), "AccessDenied"),
        (failure("503 Slow Down", "SlowDown"), "SlowDown"),
        (failure("501 Not Implemented", "NotImplemented"), "NotImplemented"),
        (answer("500 Internal Server Error"), "HTTP 500"),
        (b"not http at all\r\n\r\n", ""),
    ],
)
async def test_the_reason_is_told_and_no_key(reply: bytes, reason: str) -> None:
    async with scripted(reply) as (store, _, _):
        for result in await every_call(store):
            assert type(result) is StoreUnavailable
            assert reason in str(result)
            assert "key-id" not in str(result)
            assert SECRET not in str(result)
            assert "\n" not in str(result)


async def test_a_stumble_is_tried_again() -> None:
    async with scripted(failure("503 Slow Down", "SlowDown"), OK) as (store, server, _):
        await store.put(KEY, [b"x"])
        assert len(server.requests) == 2


async def test_a_put_is_conditional_and_in_one_piece_whatever_its_size() -> None:
    async with scripted(OK) as (store, server, _):
        await store.put(KEY, [b"x"])
        await store.put(KEY, [b"x" * 8_000_000, b"y"])
    assert [head.split()[:2] for head in server.requests] == [["PUT", f"/mail-bucket/{KEY}"]] * 2
    for head in server.requests:
        assert "if-none-match: *" in head.lower()


@pytest.mark.parametrize("last", [OK, b""])
async def test_taken_by_another_and_gone_again_is_temporary(last: bytes) -> None:
    taken, gone = failure("412 Precondition Failed", "PreconditionFailed"), failure("404 Not Found", "NoSuchKey")
    async with scripted(taken, gone, last) as (store, _, _):
        with pytest.raises(StoreUnavailable):
            await store.put(KEY, [b"x"])


async def test_provisioning_tells_a_refusal_from_a_silence() -> None:
    async with scripted(failure("403 Forbidden", "AccessDenied")) as (_, _, location):
        with pytest.raises(StartError) as refused:
            await provision(location)
    assert SECRET not in str(refused.value)
    with pytest.raises(StoreUnavailable):
        await provision(location)  # the server is gone now
    async with scripted(b"") as (_, _, location):
        with pytest.raises(StoreUnavailable):
            await provision(location, within=0.3)


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


async def test_an_upload_that_breaks_off_is_temporary_and_leaves_no_file(tmp_path: Path) -> None:
    for script in ((b"",), (failure("503 Slow Down", "SlowDown"),), (failure("507 Full", "StorageFull"),)):
        async with scripted(*script) as (_, server, location):
            store = S3Store(location, LIMITS, spool=str(tmp_path))
            upload = store.begin(64)
            await upload.write([b"x" * 6_000_000])
            assert not names(tmp_path)  # it has no name, so that a crash leaves nothing
            with pytest.raises(StoreUnavailable):
                await upload.commit([(KEY, b"head")])
            upload.discard()
            assert any("uploads" in request for request in server.requests)  # in parts
            await store.close()


async def test_an_upload_without_a_place_for_its_file_is_temporary(tmp_path: Path) -> None:
    async with scripted(OK) as (_, _, location):
        store = S3Store(location, LIMITS, spool=str(tmp_path / "missing"))
        upload = store.begin(64)
        with pytest.raises(StoreUnavailable, match="ENOENT"):
            await upload.write([b"x"])
        upload.discard()
        await store.close()
