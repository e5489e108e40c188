"""A client of clamd: kept connections to several of them, and no reply counts as clean but the one that says so."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import struct
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from services.core.errors import ConfigError, EngineUnavailable
from services.runtime.streams import send
from services.scanners.contract import TooBig
from services.scanners.text import clean

T = TypeVar("T")

MAX_SIZE: Final = 26_214_400  # octets of one stream: what Debian's clamd.conf has for StreamMaxLength and MaxFileSize
_CHUNK: Final = 65_536
_REPLY_LIMIT: Final = 4096
_CONNECT_WITHIN: Final = 2.0  # seconds
_ANSWER_WITHIN: Final = 26.0  # seconds for one question, whatever number of clamds is tried
_LEAST_FOR_ONE: Final = 5.0  # seconds that each of them gets
_SESSIONS: Final = 8  # connections to one clamd
_AWAY_FIRST, _AWAY_MOST = 1.0, 30.0  # seconds that a clamd which failed is asked last
_VERSION_FOR: Final = 60.0  # seconds that a version counts as the current one
_NUMBERED = re.compile(rb"(\d{1,9}): (.{1,400})", re.DOTALL)
_REPLY = re.compile(rb"stream: (?:(OK)|(.{1,300}) FOUND)")
_TOO_BIG: Final = b"INSTREAM size limit exceeded. ERROR"
_VERSION = re.compile(rb"ClamAV [\w.-]+(?:/\d+)?")


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """A TCP endpoint, or the path of a local socket."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def addresses(text: str) -> tuple[Address, ...]:
    """Return the addresses in `host:port,…` or `/path`; raise ConfigError for anything else."""
    return tuple(_address(item.strip()) for item in text.split(","))


def _address(text: str) -> Address:
    if text.startswith("/"):
        return Address("", 0, text)
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:  # noqa: PLR2004  # the range of ports
        raise ConfigError(f"GATEPOST_CLAMD: {text!r} is neither host:port nor the path of a socket")
    return Address(host.strip("[]"), int(port))


class Clamd:
    """The VirusEngine port. The clamd with the fewest scans is asked; one that fails is asked last for a while.

    `max_size`: see GATEPOST_CLAMD_MAX. What is longer is never sent: clamd passes over what exceeds its own limits.
    """

    def __init__(self, where: tuple[Address, ...], max_size: int = MAX_SIZE, *, hold_oversize: bool = True) -> None:
        self.max_size = max_size
        self.hold_oversize = hold_oversize
        self._servers = [_Server(address) for address in where]
        self._version = ""
        self._version_at = -_VERSION_FOR

    async def scan(self, data: bytes) -> str | None:
        """Return the name of what was found, None for clean; raise EngineUnavailable for every other reply.

        Raises TooBig, which is one, when the octets are more than clamd takes.
        """
        if len(data) > self.max_size:
            raise TooBig(f"clamd: {len(data)} octets, {self.max_size} are the most")
        return await self._ask(lambda session: session.scan(data))

    async def version(self) -> str:
        """Return engine and signature version, at most a minute old."""
        now = asyncio.get_running_loop().time()
        if now - self._version_at >= _VERSION_FOR:
            self._version = await self._ask(_Session.version)
            self._version_at = now
        return self._version

    async def close(self) -> None:
        """Close the connections that are kept."""
        for server in self._servers:
            await server.close()

    async def _ask(self, talk: Callable[[_Session], Awaitable[T]]) -> T:
        problem = EngineUnavailable("clamd: no address")
        loop = asyncio.get_running_loop()
        until = loop.time() + _ANSWER_WITHIN
        order = sorted(self._servers, key=lambda server: (server.away_until > loop.time(), server.in_use))
        for number, server in enumerate(order):
            left = until - loop.time()
            if left <= 0:
                break
            within = min(left, max(_LEAST_FOR_ONE, left / (len(order) - number)))
            try:
                return await server.ask(talk, within)
            except TooBig:
                raise
            except EngineUnavailable as error:
                problem = error
        raise problem


class _Server:
    """One clamd: its kept connections, and whether it failed lately."""

    def __init__(self, address: Address) -> None:
        self.in_use = 0
        self.away_until = 0.0
        self._address = address
        self._away = _AWAY_FIRST
        self._places = asyncio.Semaphore(_SESSIONS)
        self._idle: list[_Session] = []

    async def ask(self, talk: Callable[[_Session], Awaitable[T]], within: float) -> T:
        """Return what the talk returns; raise EngineUnavailable, and be asked last for a while, when it fails."""
        self.in_use += 1
        try:
            async with asyncio.timeout(within), self._places:
                result = await self._in_session(talk)
        except TooBig:
            raise
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            self._failed()
            raise EngineUnavailable(f"clamd at {self._address}: {type(error).__name__}") from error
        except EngineUnavailable:
            self._failed()
            raise
        finally:
            self.in_use -= 1
        self._away, self.away_until = _AWAY_FIRST, 0.0
        return result

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def _in_session(self, talk: Callable[[_Session], Awaitable[T]]) -> T:
        while self._idle:  # the last one used first: clamd hangs up on those that idle
            session = self._idle.pop()
            try:
                return await self._with(session, talk)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                if isinstance(error, asyncio.IncompleteReadError) and error.partial:
                    raise
        async with asyncio.timeout(_CONNECT_WITHIN):
            session = await _Session.open(self._address)
        return await self._with(session, talk)

    async def _with(self, session: _Session, talk: Callable[[_Session], Awaitable[T]]) -> T:
        try:
            result = await talk(session)
        except BaseException:  # cancelled, too: what was asked is still to be answered, so nobody can use it again
            session.abort()
            raise
        self._idle.append(session)
        return result

    def _failed(self) -> None:
        self.away_until = asyncio.get_running_loop().time() + self._away
        self._away = min(_AWAY_MOST, self._away * 2)


class _Session:
    """A connection in clamd's IDSESSION: many questions, each answer with its number."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._number = 0

    @classmethod
    async def open(cls, address: Address) -> _Session:
        if address.path:
            streams = await asyncio.open_unix_connection(address.path, limit=_REPLY_LIMIT)
        else:
            streams = await asyncio.open_connection(address.host, address.port, limit=_REPLY_LIMIT)
        session = cls(*streams)
        streams[1].write(b"zIDSESSION\0")
        return session

    async def scan(self, data: bytes) -> str | None:
        send(self._writer, b"zINSTREAM\0")
        try:
            for start in range(0, len(data), _CHUNK):
                chunk = memoryview(data)[start : start + _CHUNK]
                send(self._writer, struct.pack("!I", len(chunk)))
                send(self._writer, chunk)
                await self._writer.drain()
            send(self._writer, struct.pack("!I", 0))
            await self._writer.drain()
        except ConnectionError as error:  # clamd hangs up on a stream over its limit, and says so first
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                return parse(await self._answer())
            raise error from None
        return parse(await self._answer())

    async def version(self) -> str:
        send(self._writer, b"zVERSION\0")
        await self._writer.drain()
        reply = await self._answer()
        found = _VERSION.match(reply)
        if found is None:
            raise EngineUnavailable(f"clamd answered {clean(reply.decode('latin-1'), 80)!r} for its version")
        return found.group().decode("ascii")

    def abort(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            send(self._writer, b"zEND\0")
            self._writer.close()
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()

    async def _answer(self) -> bytes:
        """Return the answer to the last question; raise EngineUnavailable when it is that to another."""
        self._number += 1
        reply = (await self._reader.readuntil(b"\0"))[:-1]
        if reply == _TOO_BIG:  # some versions leave the number out here
            return reply
        found = _NUMBERED.fullmatch(reply)
        if found is None or int(found.group(1)) != self._number:
            raise EngineUnavailable(f"clamd answered {clean(reply.decode('latin-1'), 80)!r}")
        return found.group(2)


def parse(reply: bytes) -> str | None:
    """Return the name of what was found, None for clean; raise EngineUnavailable for a reply that says neither."""
    if reply == _TOO_BIG:
        raise TooBig("clamd: more octets than its StreamMaxLength")
    found = _REPLY.fullmatch(reply)
    if found is None:
        raise EngineUnavailable(f"clamd answered {clean(reply.decode('latin-1'), 80)!r}")
    return None if found.group(1) else clean(found.group(2).decode("utf-8", "replace"), 100)
