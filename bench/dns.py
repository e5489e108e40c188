"""A name server on loopback that answers every question with NXDOMAIN, at once.

Real mail names hundreds of domains. A bench must not measure somebody's resolver, nor wait for the ones that are gone.
"""

from __future__ import annotations

import asyncio
import struct
from typing import cast

HEADER = struct.Struct("!6H")  # RFC 1035 section 4.1.1
ANSWER = 0x8180  # QR, RD, RA
NXDOMAIN = 3
SOA_TTL = 300  # seconds that a "no" is kept (RFC 2308)


class NoSuchName(asyncio.DatagramProtocol):
    """Answers with the question, NXDOMAIN, and the root's SOA for the time that it holds."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's transports are registered as nothing

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = answer(data)
        if reply is not None and self._transport is not None:
            self.asked += 1
            self._transport.sendto(reply, addr)


def answer(query: bytes) -> bytes | None:
    """Return the reply to a query with one question, None to anything else."""
    if len(query) < HEADER.size or HEADER.unpack_from(query)[2] != 1:
        return None
    end = HEADER.size
    while end < len(query) and query[end]:
        end += query[end] + 1
    end += 5  # the root label, type and class
    if end > len(query):
        return None
    head = HEADER.pack(HEADER.unpack_from(query)[0], ANSWER | NXDOMAIN, 1, 0, 1, 0)
    soa = b"\0\0" + struct.pack("!5I", 1, 3600, 600, 86400, SOA_TTL)  # both names are the root
    authority = b"\0" + struct.pack("!HHIH", 6, 1, SOA_TTL, len(soa)) + soa
    return head + query[HEADER.size : end] + authority


class NameServer:
    """Listens on a free UDP port of loopback."""

    def __init__(self) -> None:
        self._protocol = NoSuchName()
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> NameServer:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self._protocol, ("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            self._transport.close()

    @property
    def asked(self) -> int:
        """How many questions were answered."""
        return self._protocol.asked

    @property
    def address(self) -> str:
        """`ip:port`, as GATEPOST_DNS takes it."""
        assert self._transport is not None  # noqa: S101  # entered
        host, port = self._transport.get_extra_info("sockname")
        return f"{host}:{port}"
