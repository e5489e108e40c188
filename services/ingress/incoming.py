"""A message while it comes in: in memory while it is short, in the store's hands as soon as it is not.

A short message is stored at its end, in one call: that is quickest. A long one is written through in pieces, so that
what a client can make us hold doesn't grow with what it sends. Over the budget of the process every message is written
through: the client waits for the disk then, and nobody is sent away, nor can those who send slowly hold up the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from services.core import replies
from services.core.canonical import HEAD_LIMIT, Decoder
from services.core.errors import StoreUnavailable
from services.core.heading import heading_of
from services.core.replies import Reply
from services.ingress import decide
from services.ingress.room import Room

if TYPE_CHECKING:
    from services.ingress.accept import LongMessage
    from services.ingress.front import Front

log = logging.getLogger("gatepost.ingress")

_LONG: Final = 65_536  # octets; shorter messages wait for nobody

D = TypeVar("D", bound=Decoder)


class Incoming(Generic[D]):
    """The octets of one message up to its end, then its answer. `close` it in any case."""

    def __init__(
        self,
        decoder: D,
        front: Front,
        client: decide.Client,
        sender: decide.Sender,
        accepted: Sequence[decide.Accepted],
    ) -> None:
        self.decoder = decoder
        self.limit = decide.size_limit(accepted, front.config)
        self.answer: Reply | None = None  # known before the end: nothing is kept any more
        self._front = front
        self._client = client
        self._sender = dataclasses.replace(sender, data_at=front.now())
        self._accepted = accepted
        self._memory = Room(front.memory)
        self._disk = Room(front.disk)
        self._long: LongMessage | None = None

    @property
    def endless(self) -> bool:
        """Whether it went on so far beyond its limit that its end is not worth waiting for."""
        return self.decoder.size > self.limit + self._front.config.max_size

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold while a piece is decoded. Of long messages one piece is, then everything else gets its turn."""
        if self.decoder.size < _LONG:
            yield
            return
        async with self._front.turns:
            yield
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Find a place for what the decoder was fed: to be called after each piece."""
        decoder = self.decoder
        if self.answer is not None or decoder.size > self.limit or decoder.defect is not None:
            self._drop()
            return
        enough = self._memory.hold(decoder.held)
        if decoder.held and (not enough or decoder.held >= self._front.config.spool_over):
            await self._write()

    async def end(self) -> Reply:
        """Return the answer to the whole message: 250 when it is ours (see `accept`)."""
        refusal = decide.content(self.decoder, self.limit, self._front.config)
        refusal = refusal or self._front.door.content(self.decoder, self._sender)
        if refusal is not None:
            for each in self._accepted:
                to = str(each.address)
                self._front.refused(refusal, self._client, reverse_path=self._sender.reverse_path, recipient=to)
            return refusal.reply
        if self._long is not None and self.decoder.held:
            await self._write()
        if self.answer is not None:
            return self.answer
        plan = self._plan()
        if not plan:
            return replies.UNAVAILABLE
        heading = heading_of(self.decoder.head(HEAD_LIMIT))
        long, self._long = self._long, None  # from here on the acceptor's
        return await self._front.acceptor.accept(
            self._accepted,
            long or self.decoder.parts(),
            client=self._client,
            sender=self._sender,
            size=self.decoder.size,
            plan=plan,
            heading=heading,
        )

    def _plan(self) -> tuple[str, ...]:
        return self._front.door.plan(self._front.directory.plan())

    def close(self) -> None:
        """Let go of everything. Again does nothing."""
        self._drop()

    def _drop(self) -> None:
        self.decoder.drop()
        self._memory.hold(0)
        self._disk.hold(0)
        if self._long is not None:
            self._long.upload.discard()
            self._long = None

    async def _write(self) -> None:
        """Give what is held to the store; where that can't take it, the answer is known."""
        try:
            if self._long is None:
                self._long = self._front.acceptor.begin(self._accepted, self._client, self._sender, self._plan())
            if not self._disk.hold(self.decoder.size):
                log.warning("event=spool-full client=%s octets=%d", self._client.ip, self._front.disk.held)
                self.answer = replies.NO_ROOM
            else:
                await self._long.upload.write(self.decoder.take())
        except StoreUnavailable as error:
            log.error("refused answer=451 error=%s reason=%s", type(error).__name__, error)
            self.answer = replies.UNAVAILABLE
        if self.answer is not None:
            self._drop()
        self._memory.hold(self.decoder.held)
