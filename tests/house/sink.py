"""A customer's MTA for tests: a real SMTP server on loopback that keeps what it gets, and goes down when told."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """One message as it came out of Gatepost."""

    at: float
    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes

    def header(self, name: str) -> str:
        """Return the first header field of this name, unfolded; empty when there is none."""
        head = self.content.split(b"\r\n\r\n", 1)[0].decode("utf-8", "replace").replace("\r\n\t", " ")
        for line in head.replace("\r\n ", " ").split("\r\n"):
            if line.lower().startswith(f"{name.lower()}:"):
                return line.partition(":")[2].strip()
        return ""


class _Server(SMTP):
    line_length_limit = 10_000_000  # real messages have long lines, and this MTA must not change what arrives

    def __init__(self, sink: Sink) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(sink, data_size_limit=0, enable_SMTPUTF8=True, hostname="sink.test", loop=loop)
        self._open = sink.open
        self._wire: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = transport
        self._open.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._wire is not None:
            self._open.discard(self._wire)
        super().connection_lost(error)


class Sink:
    """Listens on one port for as long as it is up."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self.port = port
        self._address = address
        self.arrivals: list[Arrival] = []
        self.refuse: Callable[[str], str | None] = lambda _: None  # recipient → the reply that refuses it
        self.open: set[asyncio.BaseTransport] = set()
        self._server: asyncio.Server | None = None

    async def up(self) -> None:
        """Start to listen; when it does already, nothing changes."""
        if self._server is not None:
            return
        self._server = await asyncio.get_running_loop().create_server(lambda: _Server(self), self._address, self.port)

    async def down(self) -> None:
        """Stop to listen and cut every connection."""
        if self._server is not None:
            self._server.close()
            for transport in list(self.open):
                transport.close()
            await self._server.wait_closed()
            self._server = None
            await asyncio.sleep(0)

    async def __aenter__(self) -> Sink:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take or refuse a recipient."""
        refusal = self.refuse(address)
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        """Keep the message."""
        content = envelope.original_content or b""
        self.arrivals.append(Arrival(time.time(), envelope.mail_from or "", tuple(envelope.rcpt_tos), content))
        return "250 2.0.0 taken"
