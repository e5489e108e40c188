"""From the final dot to 250: the message becomes ours, or nothing of it stays.

An object for each customer and domain, then their events, then 250. All of it runs in a task of its own, its ids chosen
first: a client that hangs up in the middle can't leave one without the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from schemas.events import Received
from services.core import replies
from services.core.clock import Clock
from services.core.errors import GatepostError, StoreUnavailable
from services.core.heading import Heading
from services.core.ids import message_id
from services.core.replies import Reply
from services.core.stored import pack, pack_into, room_for
from services.ingress import decide
from services.ingress.config import IngressConfig
from services.ingress.sweep import Sweeper
from services.runtime.bus import Bus
from services.runtime.store import Store, Upload
from services.runtime.tracing import TRACING

log = logging.getLogger("gatepost.ingress")

_NO_HEADING: Final = Heading()
_PACE: Final = 2_000_000.0  # octets a second that storing a long message is given on top


class LongMessage(NamedTuple):
    """A message that went to the store while it came in, behind the room for its head."""

    upload: Upload
    room: int  # octets


class Acceptor:
    """Stores and publishes. What it began it ends, whether or not somebody still waits for the answer."""

    def __init__(
        self, config: IngressConfig, *, store: Store, bus: Bus, clock: Clock, entropy: Callable[[int], bytes]
    ) -> None:
        self._config = config
        self._store = store
        self._bus = bus
        self._clock = clock
        self._entropy = entropy
        self._tasks: set[asyncio.Task[Reply]] = set()
        self.sweeper = Sweeper(store)

    async def close(self) -> None:
        """Return when nothing is under way; every message under way has a deadline of its own."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self.sweeper.close()

    def begin(
        self, accepted: Sequence[decide.Accepted], client: decide.Client, sender: decide.Sender, plan: tuple[str, ...]
    ) -> LongMessage:
        """Return where a message goes that is too long to be held in memory."""
        ids = {f"{at:026d}": group for at, group in _groups(accepted)}
        drafts = decide.received(ids, client, sender, size=0, now=0.0, server=self._config.hostname, plan=plan)
        room = room_for(drafts)
        return LongMessage(self._store.begin(room), room)

    async def accept(
        self,
        accepted: Sequence[decide.Accepted],
        content: LongMessage | Sequence[memoryview],
        *,
        client: decide.Client,
        sender: decide.Sender,
        size: int,
        plan: tuple[str, ...],
        heading: Heading = _NO_HEADING,
    ) -> Reply:
        """Return 250 with the message's id when every object is durable and every event acknowledged; 451 otherwise.

        With recipients of several customers or domains the id is the first group's. What `begin` gave is let go of at
        the end, whatever that is.
        """
        now = self._clock.now()
        ids = {message_id(now, self._entropy): group for _, group in _groups(accepted)}
        events = decide.received(
            ids,
            client,
            sender,
            size=size,
            now=now,
            server=self._config.hostname,
            plan=plan,
            heading=heading,
        )
        task = asyncio.create_task(self._traced(events, content), name=f"accept-{events[0].id}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            log.warning("client gone before the answer id=%s", events[0].id)
            raise

    async def _traced(self, events: Sequence[Received], content: LongMessage | Sequence[memoryview]) -> Reply:
        with TRACING.span("accept", events[0].id):
            return await self._own(events, content)

    async def _own(self, events: Sequence[Received], content: LongMessage | Sequence[memoryview]) -> Reply:
        loop = asyncio.get_running_loop()
        began = loop.time()
        more = 0.0  # seconds that a long message may take on top
        if isinstance(content, LongMessage):
            more = sum(event.size for event in events) / _PACE
            objects = [(event.key, pack_into(content.room, event)) for event in events]
            puts = [asyncio.create_task(content.upload.commit(objects))]
        else:
            puts = [asyncio.create_task(self._store.put(event.key, [pack(event), *content])) for event in events]
        deadline = began + self._config.accept_timeout + more
        ours = False
        try:
            await self._stored(puts, self._config.store_timeout + more)
            within = min(self._config.publish_timeout, deadline - loop.time())
            async with asyncio.timeout_at(deadline):
                await self._bus.publish(events, within=within)
            ours = True
        except (GatepostError, TimeoutError) as error:
            reason = str(error) or "timeout"
            log.error("refused id=%s answer=451 error=%s reason=%s", events[0].id, type(error).__name__, reason)
            return replies.UNAVAILABLE
        finally:
            if isinstance(content, LongMessage):
                content.upload.discard()
            if not ours:
                self.sweeper.sweep([event.key for event in events], puts)
        for event in events:
            log.info(
                "accepted id=%s customer=%s recipients=%d size=%d client=%s ms=%.1f",
                event.id, event.customer, len(event.envelope.recipients), event.size, event.envelope.client_ip,
                (loop.time() - began) * 1000,
            )  # fmt: skip
        return replies.accepted(events[0].id)

    async def _stored(self, puts: Sequence[asyncio.Task[None]], within: float) -> None:
        """Return when all objects are durable. A put that takes too long is not cancelled: it may land all the same."""
        done, pending = await asyncio.wait(puts, timeout=within)
        if pending:
            raise StoreUnavailable(f"no answer within {within:.1f} s")
        for put in done:
            put.result()

    def _ended(self, task: asyncio.Task[Reply]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("refused task=%s", task.get_name(), exc_info=error)


def _groups(accepted: Sequence[decide.Accepted]) -> Iterable[tuple[int, Sequence[decide.Accepted]]]:
    return enumerate(decide.split(accepted))
