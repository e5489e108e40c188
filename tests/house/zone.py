"""A name server on loopback with the records that a test gives it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Records = dict[tuple[str, str], tuple[str, ...]]


class Zone(asyncio.DatagramProtocol):
    """Answers from `records`, (name, type) → texts as a zone file has them; everything else doesn't exist."""

    def __init__(self, records: Mapping[tuple[str, str], tuple[str, ...]]) -> None:
        self.records: Records = dict(records)
        self.asked: list[tuple[str, str]] = []
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        texts = self.records.get((name, kind), ())
        if texts:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if self._transport is not None:
            self._transport.sendto(reply.to_wire(), addr)

    async def __aenter__(self) -> Zone:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            self._transport.close()

    @property
    def address(self) -> str:
        """As GATEPOST_DNS takes it."""
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        return f"{host}:{port}"
