"""The clamd client: against a server that answers as told, and a real clamd where GATEPOST_TEST_CLAMD names one."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from schemas.events import Status
from services.core.errors import ConfigError, EngineUnavailable
from services.scanners.checks import virus
from services.scanners.contract import Reason, TooBig
from services.scanners.engines.clamd import Address, Clamd, addresses
from services.scanners.ports import NoRules
from services.scanners.run import run
from tests.corpora.wrappings import WRAPPINGS
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
    """Serve sessions on loopback; `reply` is called with what came by INSTREAM, or with the command for any other.

    What it writes goes out behind the number of the question, as clamd does in an IDSESSION.
    """
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            assert await reader.readuntil(b"\0") == b"zIDSESSION\0"
            for number in itertools.count(1):
                command = await reader.readuntil(b"\0")
                if command == b"zEND\0":
                    break
                data = await _instream(reader) if command == b"zINSTREAM\0" else command
                writer.write(b"%d: " % number)
                await reply(data, reader, writer)
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
        if b"\0" not in answer:
            writer.close()  # an answer that never ends would only be waited for

    return reply


_made: list[Clamd] = []


def engine(where: tuple[Address, ...], *size: int, **more: bool) -> Clamd:
    """Return a client whose connections are closed after the test."""
    _made.append(Clamd(where, *size, **more))
    return _made[-1]


@pytest.fixture(autouse=True)
async def _close() -> AsyncIterator[None]:
    yield
    while _made:
        await _made.pop().close()


async def test_clean_and_found() -> None:
    async with server(says(b"stream: OK\0")) as where:
        assert await engine((where,)).scan(b"x") is None
    async with server(says(b"stream: Win.Test.EICAR_HDB-1 FOUND\0")) as where:
        assert await engine((where,)).scan(b"x") == "Win.Test.EICAR_HDB-1"


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1_000_000])
async def test_every_octet_arrives(size: int) -> None:
    seen: list[bytes] = []

    async def reply(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        seen.append(data)
        writer.write(b"stream: OK\0")

    data = os.urandom(size)
    async with server(reply) as where:
        await engine((where,)).scan(data)
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
        b"COMMAND READ TIMED OUT\0",
        b"UNKNOWN COMMAND\0",
        b"x" * 10_000,
        b"x" * 10_000 + b"\0",
    ],
)
async def test_any_other_answer_is_no_answer(answer: bytes) -> None:
    async with server(says(answer)) as where:
        with pytest.raises(EngineUnavailable):
            await engine((where,)).scan(b"x")


async def test_a_stream_over_the_limit_of_clamd() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(30)
        writer.write(b"INSTREAM size limit exceeded. ERROR\0")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
    try:
        with pytest.raises(EngineUnavailable):  # TooBig, unless the reset overtakes the words
            await engine((Address(*listener.sockets[0].getsockname()),)).scan(b"x" * 20_000_000)
    finally:
        listener.close()
        await listener.wait_closed()


async def test_a_clamd_that_hangs_is_given_up_with_the_scan() -> None:
    async def never(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        await asyncio.Event().wait()

    async with server(never) as where:
        scan = asyncio.create_task(virus.scan(mail(PLAIN), context(clamd=engine((where,)))))
        await asyncio.sleep(0.1)
        scan.cancel()
        done, _ = await asyncio.wait((scan,), timeout=ANSWER_WITHIN)
        assert done == {scan}


async def test_nobody_there() -> None:
    async with server(says(b"")) as where:
        pass
    with pytest.raises(EngineUnavailable, match="ConnectionRefusedError"):
        await engine((where,)).scan(b"x")


async def test_the_next_address_when_one_is_down() -> None:
    async with server(says(b"")) as down:
        pass
    async with server(says(b"stream: OK\0")) as up:
        clamd = engine((down, up))
        for _ in range(4):
            assert await clamd.scan(b"x") is None


async def test_connections_are_kept_and_renewed() -> None:
    talks = 0

    async def reply(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        nonlocal talks
        talks += 1
        writer.write(b"stream: OK\0")
        await writer.drain()
        if talks % 3 == 0:
            writer.close()  # as clamd does with one that idles, or when it restarts

    async with server(reply) as where:
        clamd = engine((where,))
        for _ in range(10):
            assert await clamd.scan(b"x") is None
        await clamd.close()
    assert talks == 10


def test_a_kept_connection_that_was_reset_is_renewed_on_uvloop_too() -> None:
    async def and_reset(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        writer.write(b"stream: OK\0")
        await writer.drain()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        asyncio.get_running_loop().call_later(0.1, writer.transport.abort)

    async def main() -> None:
        async with server(and_reset) as where:
            clamd = Clamd((where,))
            for _ in range(2):
                assert await clamd.scan(b"x") is None
                await asyncio.sleep(0.3)
            await clamd.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def test_work_is_spread() -> None:
    seen = {"a": 0, "b": 0}

    def counts(name: str) -> Reply:
        async def reply(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
            seen[name] += 1
            await asyncio.sleep(0.05)  # as long as a scan, so that the others are spread
            writer.write(b"stream: OK\0")

        return reply

    async with server(counts("a")) as one, server(counts("b")) as other:
        clamd = engine((one, other))
        await asyncio.gather(*(clamd.scan(b"x") for _ in range(8)))
        await clamd.close()
    assert seen == {"a": 4, "b": 4}


async def test_the_answer_to_another_question_is_none() -> None:
    async def reply(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        writer.write(b"stream: OK\x001: stream: OK\0")  # the second question is answered with the first one's number

    async with server(reply) as where:
        clamd = engine((where,))
        assert await clamd.scan(b"x") is None
        with pytest.raises(EngineUnavailable):
            await clamd.scan(b"x")


async def test_a_scan_that_is_given_up_leaves_no_answer_behind() -> None:
    release = asyncio.Event()

    async def reply(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        if data == b"virus":
            await release.wait()
        writer.write(b"stream: Bad FOUND\0" if data == b"virus" else b"stream: OK\0")

    async with server(reply) as where:
        clamd = engine((where,))
        assert await clamd.scan(b"x") is None
        given_up = asyncio.create_task(clamd.scan(b"virus"))
        await asyncio.sleep(0.05)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        release.set()
        assert await clamd.scan(b"x") is None


async def test_what_is_too_long_is_never_clean() -> None:
    sizes: list[int] = []

    async def reply(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        sizes.append(len(data))
        writer.write(b"ClamAV 1.0.3/27000/x\0" if data == b"zVERSION\0" else b"stream: OK\0")

    big = mail(attached(base64.encodebytes(os.urandom(300_000)), "base64"))
    parts = mail(attached(base64.encodebytes(os.urandom(90_000)), "base64"))
    async with server(reply) as where:
        with pytest.raises(TooBig):
            await virus.scan(big, context(clamd=engine((where,), 100_000)))
        found = await run(virus, big, context(clamd=engine((where,), 100_000)))
        assert (found.status, found.reason) == (Status.UNAVAILABLE, Reason.TOO_BIG)
        chosen = await virus.scan(big, context(clamd=engine((where,), 100_000, hold_oversize=False)))
        assert [item.code for item in chosen.evidence] == ["CLAMD_TOO_BIG"]
        sizes.clear()
        assert (await virus.scan(parts, context(clamd=engine((where,), 100_000)))).status is Status.CLEAN
    assert max(sizes) == 90_000  # file by file, where the whole is too long


async def test_heuristics_of_clamd_are_no_virus() -> None:
    async with server(says(b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0")) as where:
        finding = await virus.scan(mail(PLAIN), context(clamd=engine((where,))))
    assert finding.status is Status.SUSPICIOUS


async def test_a_local_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "clamd.sock")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\0")
        await reader.readuntil(b"\0")
        await _instream(reader)
        writer.write(b"1: stream: OK\0")
        writer.close()

    listener = await asyncio.start_unix_server(talk, path)
    assert await engine(addresses(path)).scan(b"x") is None
    listener.close()
    await listener.wait_closed()


async def test_the_version_is_asked_for_once() -> None:
    commands: list[bytes] = []

    async def reply(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        commands.append(data)
        writer.write(b"ClamAV 1.0.3/27000/Mon Nov 13 08:00:00 2023\0")

    async with server(reply) as where:
        clamd = engine((where,))
        assert [await clamd.version() for _ in range(3)] == ["ClamAV 1.0.3/27000"] * 3
    assert commands == [b"zVERSION\0"]


async def test_the_scanner_with_clamd() -> None:
    async with server(says(b"stream: Some.Virus FOUND\0")) as where:
        finding = await virus.scan(mail(PLAIN), context(clamd=engine((where,))))
    assert (finding.status, finding.evidence[0].text) == (Status.VIRUS, "Some.Virus in message: found by clamd")
    assert finding.engine.startswith("ClamAV 1.0.3/27000; yara-x")


@pytest.mark.parametrize("text", ["", "host", "host:", ":3310", "host:0", "host:99999", "host:x"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="GATEPOST_CLAMD"):
        addresses(text)


def test_addresses() -> None:
    assert addresses("a:1, [::1]:2,/run/c") == (Address("a", 1), Address("::1", 2), Address("", 0, "/run/c"))


async def test_a_real_clamd() -> None:
    clamd = engine(addresses(named("GATEPOST_TEST_CLAMD", "clamd")))
    assert (await clamd.version()).startswith("ClamAV ")
    assert await clamd.scan(mail(PLAIN).raw) is None
    found = await clamd.scan(mail(attached(EICAR, "8bit")).raw) or await clamd.scan(EICAR)
    assert found is not None
    assert "eicar" in found.lower()


@pytest.mark.parametrize("raw", WRAPPINGS.values(), ids=WRAPPINGS.keys())
async def test_clamd_alone_finds_eicar(raw: bytes) -> None:
    clamd = engine(addresses(named("GATEPOST_TEST_CLAMD", "clamd")))
    finding = await virus.scan(mail(raw), context(clamd=clamd, signatures=NoRules()))
    assert finding.status is Status.VIRUS
    assert "eicar" in finding.evidence[0].text.lower()
