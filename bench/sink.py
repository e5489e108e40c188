"""The customer's MTA of a bench: takes everything, keeps it as it came, and costs as little as Python allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import cast

END = b"\r\n.\r\n"
Note = Callable[[float, bytes], None]


class Receiver(asyncio.Protocol):
    """One connection. No STARTTLS: the bench measures the pipeline, not two TLS stacks on the cores they share."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are registered as nothing
        self._sink.connected.add(self._transport)
        self._transport.write(b"220 sink.test ESMTP\r\n")

    def connection_lost(self, _error: Exception | None) -> None:
        self._sink.connected.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        known = len(self._buffer)
        self._buffer += data
        while self._message(known) if self._in_data else self._command():
            known = 0

    def _message(self, known: int) -> bool:
        end = self._buffer.find(END, max(0, known - len(END)))
        if end < 0:
            return False
        at = perf_counter()
        wire = bytes(self._buffer[2 : end + 2])  # without the CRLF that `_command` put in front
        del self._buffer[: end + len(END)]
        self._in_data = False
        if self._sink.delay:
            asyncio.get_running_loop().call_later(self._sink.delay, self._say, b"250 2.0.0 taken\r\n")
        else:
            self._say(b"250 2.0.0 taken\r\n")
        self._sink.note(at, wire)
        return True

    def _command(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        verb = bytes(self._buffer[:4]).upper()
        del self._buffer[: end + 2]
        if verb == b"EHLO":
            self._say(b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 104857600\r\n")
        elif verb == b"DATA":
            self._buffer[:0] = b"\r\n"  # so that a message of nothing but the dot ends like every other
            self._in_data = True
            self._say(b"354 go\r\n")
        elif verb == b"QUIT":
            self._say(b"221 2.0.0 bye\r\n")
            self._transport.close()
            return False
        elif verb in {b"HELO", b"MAIL", b"RCPT", b"RSET", b"NOOP"}:
            self._say(b"250 2.0.0 ok\r\n")
        else:
            self._say(b"502 5.5.2 no\r\n")
        return True

    def _say(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)


class Sink:
    """Listens on a free port of loopback. `note` may be exchanged between runs: connections outlive them."""

    def __init__(self, delay: float = 0.0) -> None:
        """`delay`: seconds that it takes to answer each message."""
        self.delay = delay
        self.note: Note = lambda _at, _wire: None
        self.connected: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Sink:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Receiver(self), "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            for transport in self.connected:
                transport.abort()
            await asyncio.sleep(0)  # an abort is carried out in the next turn of the loop
            await asyncio.sleep(0)

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None  # noqa: S101  # entered
        return int(self._server.sockets[0].getsockname()[1])
