"""The clamd client: against a server that answers as told, and a real clamd where GATEPOST_TEST_CLAMD names one."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from schemas.events import Status
from services.core.errors import ConfigError, EngineUnavailable
from services.scanners.checks import virus
from services.scanners.engines.clamd import Address, Clamd, addresses
from tests.mails import EICAR, PLAIN, attached, context, mail
from tests.parts import named

Reply = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ANSWER_WITHIN = 5.0


async def _instream(reader: asyncio.StreamReader) -> bytes:
    data = bytearray()
    while (size := struct.unpack("!I", await reader.readexactly(4))[0]) > 0:
        data += await reader.readexactly(size)
    return bytes(data)


@asynccontextmanager
async def server(reply: Reply) -> AsyncIterator[Address]:
    """Serve on loopback; `reply` is called with what came by INSTREAM, or with the command for any other."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            command = await reader.readuntil(b"\0")
            await reply(await _instream(reader) if command == b"zINSTREAM\0" else command, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client gave up: the test says whether it should
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(talk(reader, writer))
        talks.add(task)
        task.add_done_callback(talks.discard)

    listener = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield Address(*listener.sockets[0].getsockname())
    finally:
        listener.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await listener.wait_closed()


def says(answer: bytes) -> Reply:
    async def reply(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        writer.write(b"ClamAV 1.0.3/27000/Mon Nov 13\0" if data == b"zVERSION\0" else answer)
        await writer.drain()

    return reply


async def test_clean_and_found() -> None:
    async with server(says(b"stream: OK\0")) as where:
        assert await Clamd((where,)).scan(b"x") is None
    async with server(says(b"stream: Win.Test.EICAR_HDB-1 FOUND\0")) as where:
        assert await Clamd((where,)).scan(b"x") == "Win.Test.EICAR_HDB-1"


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1_000_000])
async def test_every_octet_arrives(size: int) -> None:
    seen: list[bytes] = []

    async def reply(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        seen.append(data)
        writer.write(b"stream: OK\0")

    data = os.urandom(size)
    async with server(reply) as where:
        await Clamd((where,)).scan(data)
    assert seen == [data]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0",
        b"OK\0",
        b"stream: OK",
        b"stream: OK\n",
        b"stream: OK \0",
        b"stream: \0",
        b"stream:  FOUND\0",
        b"stream: OK\nstream: X FOUND\0",
        b"stream: INSTREAM: scan error ERROR\0",
        b"INSTREAM size limit exceeded. ERROR\0",
        b"UNKNOWN COMMAND\0",
        b"x" * 10_000,
        b"x" * 10_000 + b"\0",
    ],
)
async def test_any_other_answer_is_no_answer(answer: bytes) -> None:
    async with server(says(answer)) as where:
        with pytest.raises(EngineUnavailable):
            await Clamd((where,)).scan(b"x")


async def test_a_stream_over_the_limit_of_clamd() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(20)
        writer.write(b"INSTREAM size limit exceeded. ERROR\0")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
    with pytest.raises(EngineUnavailable):
        await Clamd((Address(*listener.sockets[0].getsockname()),)).scan(b"x" * 20_000_000)
    listener.close()
    await listener.wait_closed()


async def test_a_clamd_that_hangs_is_given_up_with_the_scan() -> None:
    async def never(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        await asyncio.Event().wait()

    async with server(never) as where:
        scan = asyncio.create_task(virus.scan(mail(PLAIN), context(clamd=Clamd((where,)))))
        await asyncio.sleep(0.1)
        scan.cancel()
        done, _ = await asyncio.wait((scan,), timeout=ANSWER_WITHIN)
        assert done == {scan}


async def test_nobody_there() -> None:
    async with server(says(b"")) as where:
        pass
    with pytest.raises(EngineUnavailable, match="ConnectionRefusedError"):
        await Clamd((where,)).scan(b"x")


async def test_the_next_address_when_one_is_down() -> None:
    async with server(says(b"")) as down:
        pass
    async with server(says(b"stream: OK\0")) as up:
        clamd = Clamd((down, up))
        for _ in range(4):
            assert await clamd.scan(b"x") is None


async def test_a_local_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "clamd.sock")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\0")
        await _instream(reader)
        writer.write(b"stream: OK\0")
        writer.close()

    listener = await asyncio.start_unix_server(talk, path)
    assert await Clamd(addresses(path)).scan(b"x") is None
    listener.close()
    await listener.wait_closed()


async def test_the_version_is_asked_for_once() -> None:
    commands: list[bytes] = []

    async def reply(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        commands.append(data)
        writer.write(b"ClamAV 1.0.3/27000/Mon Nov 13 08:00:00 2023\0")

    async with server(reply) as where:
        clamd = Clamd((where,))
        assert [await clamd.version() for _ in range(3)] == ["ClamAV 1.0.3/27000"] * 3
    assert commands == [b"zVERSION\0"]


async def test_the_scanner_with_clamd() -> None:
    async with server(says(b"stream: Some.Virus FOUND\0")) as where:
        finding = await virus.scan(mail(PLAIN), context(clamd=Clamd((where,))))
    assert (finding.status, finding.evidence[0].text) == (Status.VIRUS, "Some.Virus in clamd")
    assert finding.engine.startswith("ClamAV 1.0.3/27000; yara-x")


@pytest.mark.parametrize("text", ["", "host", "host:", ":3310", "host:0", "host:99999", "host:x"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="GATEPOST_CLAMD"):
        addresses(text)


def test_addresses() -> None:
    assert addresses("a:1, [::1]:2,/run/c") == (Address("a", 1), Address("::1", 2), Address("", 0, "/run/c"))


async def test_a_real_clamd() -> None:
    clamd = Clamd(addresses(named("GATEPOST_TEST_CLAMD", "clamd")))
    assert (await clamd.version()).startswith("ClamAV ")
    assert await clamd.scan(mail(PLAIN).raw) is None
    found = await clamd.scan(mail(attached(EICAR, "8bit")).raw) or await clamd.scan(EICAR)
    assert found is not None
    assert "eicar" in found.lower()
