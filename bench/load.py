"""The sending MTAs of a bench: connections that carry message after message, at a fixed rate or as fast as they go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from time import perf_counter
from typing import cast

from bench.ledger import Entry

PER_CONNECTION = 100  # messages before QUIT, as an MTA that is polite does it
WITHIN = 120.0  # seconds for one message, and for a connection to stand
MOST = 64  # connections that the open loop may have under way
REVERSE_PATH = "bench@sender.test"


class NoConnectionError(ConnectionError):
    """The connection was refused or went away before it stood."""


class Client(asyncio.Protocol):
    """One connection. One future a message: a reply that leads to the next command wakes nobody."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._lines = [b"EHLO sender.test\r\n"]  # what is still to be said, last first; the greeting may come at once
        self._entry: Entry | None = None
        self._waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent = 0
        self.closed = False

    @classmethod
    async def connect(cls, port: int) -> Client:
        """Return a connection past its EHLO; raise NoConnectionError."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(WITHIN):
                _, client = await loop.create_connection(cls, "127.0.0.1", port)
                await client._waiting
        except (OSError, TimeoutError) as error:
            raise NoConnectionError(f"port {port}: {str(error) or type(error).__name__}") from error
        if client.closed:
            raise NoConnectionError(f"port {port}: refused at the greeting")
        return client

    async def send(self, entry: Entry) -> None:
        """Send one message and return when it is accepted or not, which the entry then tells."""
        self._entry = entry
        self._waiting = asyncio.get_running_loop().create_future()
        body = " BODY=8BITMIME" if not entry.message.content.isascii() else ""
        self._lines = [
            entry.tag + entry.message.wire,
            b"DATA\r\n",
            b"RCPT TO:<%s>\r\n" % entry.recipient.encode(),
        ]
        self.sent += 1
        entry.started = perf_counter()
        self._transport.write(f"MAIL FROM:<{REVERSE_PATH}>{body}\r\n".encode())
        try:
            async with asyncio.timeout(WITHIN):
                await self._waiting
        except TimeoutError:
            entry.code, entry.reply = 0, "no reply in time"
            self.close()

    def close(self) -> None:
        """End the connection politely; what comes in afterwards is nobody's."""
        if not self.closed:
            self.closed = True
            self._transport.write(b"QUIT\r\n")
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are registered as nothing

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if line[3:4] != b"-":
                self._reply(line)

    def _reply(self, line: bytes) -> None:
        at = perf_counter()
        if self._waiting.done():
            return
        if self._lines and line[:1] in b"23":
            self._transport.write(self._lines.pop())
            return
        if self._entry is not None:
            self._entry.replied = at
            self._entry.code = int(line[:3]) if line[:3].isdigit() else 0
            self._entry.reply = line.decode("ascii", "replace").strip()
        if line[:1] not in b"23":
            self.close()  # as after a refusal by a stranger: no state of his is relied upon
        self._waiting.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if not self._waiting.done():
            if self._entry is not None:
                self._entry.code, self._entry.reply = 0, f"connection lost: {error or 'closed by the server'}"
            self._waiting.set_result(None)


async def closed_loop(port: int, connections: int, entries: Sequence[Entry]) -> None:
    """Send all entries over so many connections, each as fast as the replies come.

    Raises NoConnectionError when they cannot be had to begin with; later, the entry tells it.
    """
    left = iter(entries)
    first = await asyncio.gather(*(Client.connect(port) for _ in range(connections)))

    async def worker(client: Client) -> None:
        for entry in left:
            if client.closed or client.sent >= PER_CONNECTION:
                client.close()
                try:
                    client = await Client.connect(port)
                except NoConnectionError as error:
                    entry.reply = str(error)
                    continue
            await client.send(entry)
        client.close()

    async with asyncio.TaskGroup() as tasks:
        for client in first:
            tasks.create_task(worker(client))


async def open_loop(port: int, rate: float, entries: Sequence[Entry], chance: Random | None = None) -> float:
    """Send `rate` entries a second, whatever the replies take; return the most seconds that one began late.

    They come evenly; with `chance` as mail from many senders does, each at a time that knows nothing of the others.
    Raises NoConnectionError when there is no server to begin with; later, the entry tells it.
    An entry goes over an idle connection, or over a new one: slow replies make connections, not a lower rate.
    """
    idle: list[Client] = []
    under_way = asyncio.Semaphore(MOST)
    latest = 0.0

    async def one(entry: Entry, due: float) -> None:
        nonlocal latest
        try:
            client = idle.pop() if idle else await Client.connect(port)
            latest = max(latest, perf_counter() - due)
            await client.send(entry)
        except NoConnectionError as error:
            entry.reply = str(error)
            return
        finally:
            under_way.release()
        if client.closed or client.sent >= PER_CONNECTION:
            client.close()
        else:
            idle.append(client)

    idle.append(await Client.connect(port))
    due = perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for entry in entries:
            due += chance.expovariate(rate) if chance else 1 / rate
            await asyncio.sleep(max(0.0, due - perf_counter()))
            await under_way.acquire()
            tasks.create_task(one(entry, due))
    for client in idle:
        client.close()
    return latest
