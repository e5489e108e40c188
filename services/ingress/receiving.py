"""The commands that carry a message: DATA (RFC 5321 section 4.1.1.4) and BDAT (RFC 3030)."""

from __future__ import annotations

import asyncio
from typing import Final

from services.core import replies
from services.core.address import Address
from services.core.canonical import ChunkDecoder, DataDecoder
from services.core.replies import Reply
from services.ingress import decide
from services.ingress.bdat import Chunk, parse_chunk
from services.ingress.commands import BadCommand
from services.ingress.conversation import Conversation
from services.ingress.front import Front
from services.ingress.incoming import Incoming

_PIECE: Final = 65_536  # octets taken at a time: more would hold up all others for too long


class Receiving(Conversation):
    """Takes in the message of a transaction, whose sender and recipients `Connection` has taken."""

    def __init__(self, front: Front) -> None:
        super().__init__(front)
        self._sender: decide.Sender | None = None
        self._accepted: dict[Address, decide.Accepted] = {}
        self._refused_recipients = 0
        self._idle_commands = 0
        self._chunked: Incoming[ChunkDecoder] | None = None  # a message of which BDAT has brought some, not the last
        self._deadline = 0.0  # of that message, on the loop's clock

    def _reset(self) -> None:
        """Forget the transaction."""
        self._sender = None
        self._accepted = {}
        if self._chunked is not None:
            self._chunked.close()
            self._chunked = None

    def _in_transaction(self) -> bool:
        return self._sender is not None

    def _idle(self, reply: Reply) -> None:
        """Answer a command that moves no mail."""
        raise NotImplementedError

    async def _handle_client(self) -> None:
        try:
            await super()._handle_client()
        finally:
            self._reset()

    def _why_no_message(self) -> Reply | None:
        """Return what keeps a message from beginning now; None when it may."""
        if self._sender is None:
            return replies.MAIL_FIRST
        if not self._accepted:
            return replies.NO_VALID_RECIPIENTS if self._refused_recipients else replies.RCPT_FIRST
        return None

    # --- DATA

    async def _data(self, argument: str) -> None:
        if argument:
            self._mistake(replies.NO_ARGUMENT)
        elif self._chunked is not None:
            self._mistake(replies.CHUNKS_BEGUN)
        elif (reply := self._why_no_message()) is not None or self._sender is None:
            self._mistake(reply or replies.MAIL_FIRST)
        else:
            self._say(replies.GO_AHEAD)
            decoder = DataDecoder(line_limit=self._config.max_line)
            message = Incoming(decoder, self._front, self._client, self._sender, list(self._accepted.values()))
            try:
                await self._take_data(message)
            finally:
                message.close()
            self._reset()

    async def _take_data(self, message: Incoming[DataDecoder]) -> None:
        """Read a message, and answer for it; whatever the answer, the transaction is over."""
        try:
            async with asyncio.timeout(self._config.data_timeout):
                await self._flush()
                await self._read_data(message)
        except TimeoutError:
            self._finish(replies.TOO_SLOW)
            return
        await self._say_answer(message)

    async def _read_data(self, message: Incoming[DataDecoder]) -> None:
        """Read up to the end of data; cut off a client that goes on far beyond the limit.

        What is known to be refused is read as well, since the client listens only after its final dot, but not kept.
        """
        rest: bytes | None = None
        while rest is None:
            octets = await self._octets(_PIECE)
            async with message.turn():
                rest = message.decoder.feed(octets)
            await message.settle()
            if message.endless:
                self._finish(replies.TOO_MANY_ERRORS)
                return
        self._inlet.unread(rest)

    # --- BDAT

    async def _bdat(self, argument: str) -> None:
        try:
            chunk = parse_chunk(argument)
        except BadCommand:
            self._finish(replies.BAD_CHUNK)  # where commands go on can't be known
            return
        if chunk.size > 2 * self._config.max_size:
            self._finish(replies.TOO_BIG)  # by far: not worth reading to its end
            return
        message = self._chunked or self._first_chunk()
        if message is None:
            await self._skip(chunk.size)
            return
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._flush()
                await self._read_chunk(message, chunk.size)
        except TimeoutError:
            self._finish(replies.TOO_SLOW)
            return
        await self._answer_chunk(message, chunk)

    def _first_chunk(self) -> Incoming[ChunkDecoder] | None:
        """Return the message that begins with this chunk; None when it may not begin."""
        if self._why_no_message() is not None or self._sender is None:
            return None
        decoder = ChunkDecoder(line_limit=self._config.max_line)
        self._chunked = Incoming(decoder, self._front, self._client, self._sender, list(self._accepted.values()))
        self._deadline = asyncio.get_running_loop().time() + self._config.data_timeout
        return self._chunked

    async def _skip(self, octets: int) -> None:
        """Read a chunk that can't be taken, and say why; the command after it is found where it is."""
        try:
            async with asyncio.timeout(self._config.data_timeout):
                await self._flush()
                while octets:
                    octets -= len(await self._octets(min(octets, _PIECE)))
        except TimeoutError:
            self._finish(replies.TOO_SLOW)
            return
        self._mistake(self._why_no_message() or replies.MAIL_FIRST)

    async def _read_chunk(self, message: Incoming[ChunkDecoder], octets: int) -> None:
        while octets:
            piece = await self._octets(min(octets, _PIECE))
            octets -= len(piece)
            async with message.turn():
                message.decoder.feed(piece)
            await message.settle()

    async def _answer_chunk(self, message: Incoming[ChunkDecoder], chunk: Chunk) -> None:
        """Say of the last chunk what becomes of the message, of another what is known by now."""
        if message.endless:
            self._finish(replies.TOO_MANY_ERRORS)
        elif chunk.last:
            message.decoder.end()
            await message.settle()
            await self._say_answer(message)
            self._reset()
        elif message.decoder.size > message.limit:
            self._say(replies.TOO_BIG)
        elif message.answer is not None:
            self._say(message.answer)
        elif chunk.size:
            self._say(replies.CHUNK_OK)
        else:
            self._idle(replies.CHUNK_OK)

    # --- both

    async def _octets(self, limit: int) -> bytes:
        octets = await self._inlet.chunk(limit)
        if not octets:
            raise ConnectionResetError("end of input within a message")
        return octets

    async def _say_answer(self, message: Incoming[DataDecoder] | Incoming[ChunkDecoder]) -> None:
        reply = await message.end()
        if reply.ok:
            self._idle_commands = 0
        self._say(reply)
