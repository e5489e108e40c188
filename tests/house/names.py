"""A name server on loopback for a whole Gatepost: a zone that a test writes into."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

TTL = 1  # seconds


class Names(asyncio.DatagramProtocol):
    """Answers from `zone` ((name, type) to texts of records), and that there is no such name for everything else."""

    def __init__(self, port: int = 0, zone: Mapping[tuple[str, str], Sequence[str]] | None = None) -> None:
        """Port 0: any that is free."""
        self.port = port
        self.zone = dict(zone or {})
        self.signed: set[str] = set()  # names of which it says that DNSSEC vouches for them, to who asks for that
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name, rdtype = query.question[0].name.to_text(omit_final_dot=True).lower(), query.question[0].rdtype.name
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name in self.signed and query.flags & dns.flags.AD:
            answer.flags |= dns.flags.AD
        records = self.zone.get((name, rdtype))
        if records:
            answer.answer.append(dns.rrset.from_text(f"{name}.", TTL, "IN", rdtype, *records))
        elif not any(known == name for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        assert self._transport is not None
        self._transport.sendto(answer.to_wire(max_size=4096), addr)

    async def __aenter__(self) -> Names:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", self.port))
        self.port = transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            self._transport.close()

    @property
    def address(self) -> str:
        """As GATEPOST_DNS takes it."""
        return f"127.0.0.1:{self.port}"
