"""A client of clamd: one connection a scan, and no reply counts as clean but the one that says so."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

from services.core.errors import ConfigError, EngineUnavailable
from services.scanners.text import clean

T = TypeVar("T")
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_CHUNK: Final = 65_536
_REPLY_LIMIT: Final = 4096
_CONNECT_WITHIN: Final = 2.0  # seconds
_ANSWER_WITHIN: Final = 20.0  # seconds for one message
_VERSION_FOR: Final = 60.0  # seconds that a version counts as the current one
_REPLY = re.compile(rb"stream: (?:(OK)|(.{1,300}) FOUND)")
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
    """The VirusEngine port. Several addresses are taken in turn, and the next one when one doesn't answer."""

    def __init__(self, where: tuple[Address, ...]) -> None:
        self._where = where
        self._turn = 0
        self._version = ""
        self._version_at = -_VERSION_FOR

    async def scan(self, data: bytes) -> str | None:
        """Return the name of what was found, None for clean; raise EngineUnavailable for every other reply."""

        async def instream(streams: _Streams) -> str | None:
            return parse(await _instream(streams, data))

        return await self._ask(instream)

    async def version(self) -> str:
        """Return engine and signature version, at most a minute old."""
        now = asyncio.get_running_loop().time()
        if now - self._version_at >= _VERSION_FOR:
            self._version = await self._ask(_version)
            self._version_at = now
        return self._version

    async def _ask(self, talk: Callable[[_Streams], Awaitable[T]]) -> T:
        problem = EngineUnavailable("clamd: no address")
        for address in self._in_turn():
            try:
                return await _within(address, talk)
            except EngineUnavailable as error:
                problem = error
        raise problem

    def _in_turn(self) -> Iterator[Address]:
        self._turn += 1
        for step in range(len(self._where)):
            yield self._where[(self._turn + step) % len(self._where)]


def parse(reply: bytes) -> str | None:
    """Return the name of what was found, None for clean; raise EngineUnavailable for a reply that says neither."""
    found = _REPLY.fullmatch(reply)
    if found is None:
        raise EngineUnavailable(f"clamd answered {clean(reply.decode('latin-1'), 80)!r}")
    return None if found.group(1) else clean(found.group(2).decode("utf-8", "replace"), 100)


async def _within(address: Address, talk: Callable[[_Streams], Awaitable[T]]) -> T:
    try:
        async with asyncio.timeout(_CONNECT_WITHIN):
            streams = await _connect(address)
    except (OSError, TimeoutError) as error:
        raise EngineUnavailable(f"clamd at {address}: {type(error).__name__}") from error
    try:
        async with asyncio.timeout(_ANSWER_WITHIN):
            return await talk(streams)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise EngineUnavailable(f"clamd at {address}: {type(error).__name__}") from error
    finally:
        streams[1].close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await streams[1].wait_closed()


async def _connect(address: Address) -> _Streams:
    if address.path:
        return await asyncio.open_unix_connection(address.path, limit=_REPLY_LIMIT)
    return await asyncio.open_connection(address.host, address.port, limit=_REPLY_LIMIT)


async def _instream(streams: _Streams, data: bytes) -> bytes:
    reader, writer = streams
    writer.write(b"zINSTREAM\0")
    try:
        for start in range(0, len(data), _CHUNK):
            chunk = data[start : start + _CHUNK]
            writer.write(struct.pack("!I", len(chunk)) + chunk)
            await writer.drain()
        writer.write(struct.pack("!I", 0))
        await writer.drain()
    except ConnectionError:  # clamd hangs up on a stream over its limit, and says so first
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            return (await reader.readuntil(b"\0"))[:-1]
        raise
    return (await reader.readuntil(b"\0"))[:-1]


async def _version(streams: _Streams) -> str:
    reader, writer = streams
    writer.write(b"zVERSION\0")
    await writer.drain()
    reply = (await reader.readuntil(b"\0"))[:-1]
    found = _VERSION.match(reply)
    if found is None:
        raise EngineUnavailable(f"clamd answered {clean(reply.decode('latin-1'), 80)!r} for its version")
    return found.group().decode("ascii")
