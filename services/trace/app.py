"""The trace service: writes what happened to each message, and who was refused, into the database.

It reads every topic that moves a message, and holds up none of them: mail doesn't wait for it. What has come within a
tenth of a second is written in one transaction; a record counts as done when its rows are durable. All of it can be
made again from the topics, for as long as those go back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from schemas.catalog import (
    COMMANDS,
    DEFERRED,
    DISPOSITIONS,
    OUTCOMES,
    RECEIVED,
    RECHECKS,
    REJECTIONS,
    REQUESTS,
    RESCANS,
    VERDICTS,
    Topic,
)
from schemas.events import Event, Verdict
from services.core.clock import Clock
from services.core.errors import DatabaseUnavailable, UnreadableEvent
from services.core.waiting import happens
from services.runtime.bus import Record, Stateless, Tombstone
from services.runtime.database import first_line
from services.trace.config import TraceConfig
from services.trace.decide import AHEAD, DAY, Facts, facts
from services.trace.index import Index
from services.trace.rollup import BY_HOUR
from services.trace.tally import HOUR

log = logging.getLogger("gatepost.trace")

SETTLES: Final = 1_800.0  # seconds after its end in which a day's last messages are written
MARKED: Final = SETTLES - 300.0  # what comes later marks its day; earlier than needed, as clocks differ

TOPICS: Final[tuple[Topic, ...]] = (
    RECEIVED,
    VERDICTS,
    RESCANS,
    DISPOSITIONS,
    DEFERRED,
    OUTCOMES,
    REJECTIONS,
    COMMANDS,
    REQUESTS,
    RECHECKS,
)


class Trace(Stateless):
    """Driven by the consume loop; `forget` is its own task and belongs to whoever runs both."""

    def __init__(self, config: TraceConfig, index: Index, clock: Clock) -> None:
        self._config = config
        self._index = index
        self._clock = clock
        self._waiting: deque[tuple[Facts, asyncio.Future[None]]] = deque()
        self._writer: asyncio.Task[None] | None = None

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """Return when the record's rows are durable; nothing to publish. Raises DatabaseUnavailable."""
        if record.event is None:
            return ()
        events = record.event.answers if isinstance(record.event, Verdict) else (record.event,)
        found = [self.facts(event, record.timestamp) for event in events]
        loop = asyncio.get_running_loop()
        waiting = [(each, loop.create_future()) for each in found if each is not None]
        if waiting:
            self._waiting.extend(waiting)
            if self._writer is None or self._writer.done():
                self._writer = asyncio.create_task(self._write(), name="trace-write")
            await asyncio.gather(*(done for _, done in waiting))
        return ()

    def facts(self, event: Event, stamp: float) -> Facts | None:
        """Return what is to be kept, None when its days are over; raise UnreadableEvent for a day that is yet to come.

        A day of its own costs PostgreSQL a table: nobody may make one by an id with a strange time.
        """
        found = facts(event, stamp)
        today = int(self._clock.now() // DAY)
        if found.day > today + AHEAD:
            raise UnreadableEvent("an id from the future")
        return found if found.day > today - self._config.days else None

    async def _write(self) -> None:
        while self._waiting:
            if len(self._waiting) < self._config.batch:
                await asyncio.sleep(self._config.gather_seconds)
            batch = [self._waiting.popleft() for _ in range(min(self._config.batch, len(self._waiting)))]
            try:
                await self._index.write([found for found, _ in batch], self._over(MARKED))
            except DatabaseUnavailable as error:
                _settle(batch, error)
            except asyncio.CancelledError:
                for _, done in batch:
                    done.cancel()
                raise
            except SQLAlchemyError as error:
                # One of them is refused for what it is: the others are not to go to the dead letters with it.
                log.error("event=batch-refused rows=%d error=%s", len(batch), first_line(error))
                await self._one_by_one(batch)
            else:
                _settle(batch, None)

    async def _one_by_one(self, batch: list[tuple[Facts, asyncio.Future[None]]]) -> None:
        for entry in batch:
            try:
                await self._index.write([entry[0]], self._over(MARKED))
            except DatabaseUnavailable as error:
                _settle([entry], error)
            except SQLAlchemyError as error:
                _settle([entry], UnreadableEvent(f"the database refuses it: {first_line(error)}"))
            else:
                _settle([entry], None)

    async def close(self) -> None:
        """End the writing; who still waits is cancelled, and its records are read again."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        while self._waiting:
            self._waiting.popleft()[1].cancel()

    async def forget(self, stop: asyncio.Event) -> None:
        """Take out the days that are over, now and then, until `stop` is set."""
        while not stop.is_set():
            try:
                today = int(self._clock.now() // DAY)
                gone = await self._index.forget(today - self._config.days)
                await self._index.forget_tallies((today - self._config.tally_days) * DAY // HOUR)
                while not stop.is_set() and await self._index.roll_up(today - BY_HOUR):
                    pass
                while not stop.is_set() and await self._index.count_tops(self._over(SETTLES)):
                    pass
            except DatabaseUnavailable as error:
                log.warning("event=forgetting-put-off error=%s", error)
            else:
                if gone:
                    log.info("event=forgotten days=%d", gone)
            await happens(stop, self._config.sweep_seconds)

    def _over(self, settles: float) -> int:
        """Return the first day that is not over, or has not been for so many seconds."""
        return int((self._clock.now() - settles) // DAY)


def _settle(batch: list[tuple[Facts, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, done in batch:
        if done.done():  # whoever waited was cancelled
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
