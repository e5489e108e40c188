"""A TCP proxy between two parts, so that the network between them can be cut, slowed and narrowed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

CHUNK = 65_536


class Wire:
    """Listens on a port of its own and hands everything on to another, both on loopback."""

    def __init__(self, name: str, port: int, target: int) -> None:
        self.name = name
        self.port = port
        self.delay = 0.0  # seconds for each chunk, either way
        self.rate = 0.0  # octets a second for each connection and way; 0: as fast as it goes
        self._target = target
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)

    async def close(self) -> None:
        """Listen no more, and drop every connection."""
        if self._server is not None:
            self._server.close()
            self.reset()

    def cut(self) -> None:
        """From now on nothing passes, as when a cable is pulled: neither side is told."""
        self._whole.clear()

    def reset(self) -> None:
        """End every connection with a reset, and let later ones pass."""
        for writer in list(self._writers):
            with contextlib.suppress(OSError):
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self.mend()

    def mend(self) -> None:
        """Everything passes again, and at once."""
        self.delay = self.rate = 0.0
        self._whole.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._whole.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        ways = [asyncio.create_task(self._pass(reader, back)), asyncio.create_task(self._pass(there, writer))]
        try:
            await asyncio.wait(ways)
        finally:
            for task in ways:
                task.cancel()
            self._writers -= {writer, back}
            for end in (writer, back):
                end.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self.rate:
                    await asyncio.sleep(len(chunk) / self.rate)
                await self._whole.wait()
                writer.write(chunk)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            writer.transport.abort()
