"""What a client sent and nobody has read yet: lines while it commands, chunks while it sends a message.

It stands where aiosmtpd has a StreamReader, which can neither take back what was read too far nor be emptied: the first
is needed to read a message in chunks, the second to drop what was injected before TLS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

HIGH_WATER: Final = 131_072  # octets; more than this waits in the kernel, and so at the client


class LineTooLong(Exception):  # noqa: N818  # a fact about the client, which gets an answer; not a failure of ours
    """A command line was over the limit. It has been skipped up to its end."""


class Interrupted(Exception):  # noqa: N818  # see above
    """The server wants the word: no command is waiting, and none is waited for."""


class Inlet:
    """The octets of one connection in the order of their arrival, bounded. One reader at a time."""

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._buffer = bytearray()
        self._searched = 0  # there is no line end before this
        self._eof = False
        self._interrupted = False
        self._paused = False
        self._pause = pause
        self._resume = resume
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        """Take what came from the client."""
        self._buffer += data
        if len(self._buffer) > HIGH_WATER and not self._paused:
            self._paused = True
            self._pause()
        self._wake()

    def feed_eof(self) -> None:
        """Say that nothing more will come."""
        self._eof = True
        self._wake()

    def interrupt(self) -> None:
        """Make `line` raise Interrupted as soon as it would have to wait."""
        self._interrupted = True
        self._wake()

    def waiting(self) -> int:
        """Return how many octets nobody has read yet."""
        return len(self._buffer)

    def discard(self) -> int:
        """Drop what was not read; return how many octets that were."""
        dropped = len(self._buffer)
        self._taken(dropped)
        return dropped

    def unread(self, data: bytes) -> None:
        """Give back what was read too far."""
        self._buffer[:0] = data
        self._searched = 0

    def ready_line(self, limit: int) -> bytes | None:
        """Return a line with its end if there is one already, without waiting; raise LineTooLong."""
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[: end + 1])
        self._taken(end + 1)
        if len(line) > limit:
            raise LineTooLong
        return line

    async def line(self, limit: int) -> bytes | None:
        """Return the next line with its LF, None when the client sends no more; raise LineTooLong or Interrupted."""
        too_long = False
        while True:
            try:
                line = self.ready_line(limit)
            except LineTooLong:
                line, too_long = b"", True
            if line is not None:
                if too_long:
                    raise LineTooLong
                return line
            if self._eof:
                return None
            if self._interrupted:
                raise Interrupted
            if len(self._buffer) > limit:
                too_long = True
                self._taken(len(self._buffer))
            await self._wait()

    async def chunk(self, limit: int | None = None) -> bytes:
        """Return what there is, one octet to `limit`; empty when the client sends no more. Not interrupted."""
        while not self._buffer and not self._eof:
            await self._wait()
        data = bytes(self._buffer if limit is None else self._buffer[:limit])
        self._taken(len(data))
        return data

    def _taken(self, count: int) -> None:
        del self._buffer[:count]
        self._searched = 0
        if self._paused and len(self._buffer) <= HIGH_WATER:
            self._paused = False
            self._resume()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
