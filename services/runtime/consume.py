"""The consume loop. It exists once: decode → handle → publish what follows → commit.

    poll ─▶ decode ─▶ service.handle ─▶ bus.publish ─▶ finished ─▶ (every half second) service.before_commit ─▶ commit

Records of a partition are begun in order and may end out of order; only the contiguous prefix of finished ones is
committed, so a crash repeats work and never loses any. A full service pauses its partitions. A rebalance waits for what
is in flight, commits, and only then lets go.

Whoever acts where nothing can be taken back (delivery) announces how far it will go, in the note of its commits, and
takes the note back when it ends cleanly. What lies before the note of an owner that was killed comes as `suspect`.

What can't be handled goes to the dead letters. When that is so for too many, the consumer stops with an error instead:
a deploy gone wrong must not drain a topic into the bin.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence

from schemas import wire
from schemas.catalog import BY_NAME
from schemas.events import DeadLetter, Event
from services.core.burials import Burials
from services.core.clock import Clock
from services.core.errors import (
    BusUnavailable,
    GatepostError,
    LoadFailed,
    Temporary,
    TooManyDeadLetters,
    UnreadableEvent,
)
from services.core.prefix import Prefix, Tied
from services.core.waiting import before, happens
from services.runtime import metrics
from services.runtime.bus import Bus, Record, Service, Tombstone
from services.runtime.health import Health
from services.runtime.source import Raw, Slot, Source
from services.runtime.tracing import TRACING

log = logging.getLogger("gatepost.consume")

COMMIT_EVERY = 0.5  # seconds: how much work a crash repeats at most, and how often a table's changes are written
DRAIN_WITHIN = (
    20.0  # seconds a rebalance waits for work in flight; what isn't done by then is done again by the next owner
)
RETRY_FIRST, RETRY_MOST = 0.2, 15.0  # seconds between tries of one record
REACH = 200  # records past those begun that are announced with one commit: after a crash so many are suspect at most

SUSPECT_FOR = (
    1.0  # seconds that a record waits before it is a dead letter: by then it is known whether it is one of many
)
BUG_TRIES = 3  # tries of a record whose handling fails in a way that nobody foresaw

TiedTo = Callable[[Record], tuple[Slot, int] | None]  # the record with which another may be committed, if there is one


class Consumer:
    """One member of a consumer group, driving one service."""

    def __init__(  # noqa: PLR0913  # what a group is made of
        self,
        name: str,
        source: Source,
        service: Service,
        bus: Bus,
        clock: Clock,
        *,
        max_in_flight: int = 200,
        announce: bool = False,
        tied_to: TiedTo | None = None,
        health: Health | None = None,
    ) -> None:
        """`tied_to` names the record of another topic without which a record is never committed."""
        self.name = name
        self.assigned_once = asyncio.Event()
        self._source = source
        self._service = service
        self._bus = bus
        self._clock = clock
        self._limit = max_in_flight
        self._health = health
        self._prefixes: dict[Slot, Prefix] = {}
        self._committed: dict[Slot, int] = {}
        self._announces = announce
        self._announced: dict[Slot, int] = {}  # no record from here on is begun
        self._suspect: dict[Slot, int] = {}  # records before this may have been begun by somebody else
        self._tied_to = tied_to
        self._tied: defaultdict[Slot, Tied] = defaultdict(Tied)
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._committing = asyncio.Lock()
        self._stop = asyncio.Event()
        self._turn = 0  # how often partitions were let go: what was read in one turn is nobody's in the next
        self._loading: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()  # what belongs to our partitions is loaded: until then nothing is handled
        self._burials = Burials()
        self._over: TooManyDeadLetters | None = None
        self._given_up = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; then finish what is in flight, commit and leave the group.

        Raises TooManyDeadLetters, after the same farewell, when it can't go on: those records stay where they are.
        Raises LoadFailed when what belongs to its partitions can't be loaded, and the broker is not the reason.
        """
        self._stop = stop
        try:
            if await self._join():
                await self._go_on(stop)
        finally:
            await self._end_loading()

    async def _go_on(self, stop: asyncio.Event) -> None:
        committer = asyncio.create_task(self._commit_often(), name=f"{self.name}-commit")
        try:
            while not stop.is_set():
                if committer.done():
                    committer.result()
                self._raise_failed_load()
                if self._over is not None:
                    raise self._over
                await self._round()
        finally:
            committer.cancel()
            await asyncio.gather(committer, return_exceptions=True)
            await self._end_loading()
            await self._drain()
            await self._service.revoked(self._partitions())
            await self._source.stop()
            if self._health is not None:
                self._health.left(self.name)

    async def _join(self) -> bool:
        while not self._stop.is_set():
            try:
                if not await before(self._stop, self._source.start(self)):
                    break
            except BusUnavailable as error:
                log.warning("consumer=%s event=waiting-for-broker error=%s", self.name, error)
                await self._pause(1.0)
            else:
                return True
        return False

    async def _round(self) -> None:
        """Take one batch, and start work on each of its records."""
        room = self._limit - len(self._tasks)
        if room <= 0:
            self._source.pause()
            self._room.clear()
            while len(self._tasks) > self._limit // 2 and not self._stop.is_set():
                await happens(self._room, 1.0)
                self._room.clear()
                # Keeps the group membership alive. Paused it brings nothing; after a rebalance it is paused no more.
                await self._begin_all(await self._poll(0.0, 1))
            self._source.resume()
            return
        await self._begin_all(await self._poll(0.5, room))

    async def _begin_all(self, batch: list[Raw]) -> None:
        """Begin the records, once all that belongs to their partitions is loaded.

        The broker hands out records of new partitions as soon as they are assigned. Handled before the tables are
        there, a verdict would find its message unknown; dropped, it would never come again. What was read before the
        partitions moved is dropped: it comes again, and handled twice or out of order it would bring back what ended.
        """
        turn = self._turn
        while batch and not self._settled.is_set() and not self._stop.is_set():
            await happens(self._settled, 1.0)
            self._raise_failed_load()
            more = await self._poll(0.0, 1)  # a member that asks for nothing for too long is taken out of its group
            batch = batch + more if turn == self._turn else more
            turn = self._turn
        if not self._settled.is_set():  # stopped before: uncommitted, so whoever reads next begins with them
            return
        if self._announces and batch:
            await self._announce(batch)
        for raw in batch:
            if turn == self._turn:
                self._begin(raw)

    async def _announce(self, batch: Iterable[Raw]) -> None:
        """Write down how far this owner may go, before it goes there."""
        reach: dict[Slot, int] = {}
        for raw in batch:
            slot = (raw.topic, raw.partition)
            if slot in self._prefixes and raw.offset >= self._announced.get(slot, 0):
                reach[slot] = raw.offset + REACH
        while reach and not self._stop.is_set():
            async with self._committing:
                reach = {slot: to for slot, to in reach.items() if slot in self._prefixes}
                positions = {slot: self._committed.get(slot, 0) for slot in reach}
                if not reach or await self._source.commit(positions, {slot: str(to) for slot, to in reach.items()}):
                    self._announced.update(reach)
                    return
            await self._pause(0.5)

    async def _poll(self, within: float, limit: int) -> list[Raw]:
        metrics.POLLED.labels(self.name).set(self._clock.now())
        if self._health is not None:
            self._health.polled(self.name)
        try:
            return await self._source.poll(within, limit)
        except BusUnavailable as error:
            log.warning("consumer=%s event=poll-failed error=%s", self.name, error)
            await self._pause(0.5)
            return []

    def _begin(self, raw: Raw) -> None:
        prefix = self._prefixes.get((raw.topic, raw.partition))
        if prefix is None:
            return  # arrived across a rebalance: no longer ours
        prefix.start(raw.offset)
        task = asyncio.create_task(self._work(raw, prefix), name=f"{self.name}-{raw.topic}-{raw.offset}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Only a defect of this module comes here; its record stays uncommitted and is read again after a restart.
            log.error("consumer=%s event=work-failed", self.name, exc_info=error)

    async def _work(self, raw: Raw, prefix: Prefix) -> None:
        try:
            record = decode(raw)
        except UnreadableEvent as error:
            await self._bury(raw, str(error))
            self._finish(raw, prefix)
        else:
            if raw.offset < self._suspect.get((raw.topic, raw.partition), 0):
                record = dataclasses.replace(record, suspect=True)
            if TRACING.on:
                with TRACING.span(f"{self.name} {raw.topic}", record.key, raw.headers):
                    await self._carry_out(raw, record)
            else:
                await self._carry_out(raw, record)
            self._finish(raw, prefix, record)

    def _finish(self, raw: Raw, prefix: Prefix, record: Record | None = None) -> None:
        """Count the record as finished, now or with the one that it is tied to."""
        tied = self._tied_to(record) if self._tied_to is not None and record is not None else None
        if tied is not None and not self._passed(*tied):
            slot, offset = tied
            self._tied[slot].tie(offset, prefix, raw.offset)
            return
        prefix.finish(raw.offset)
        if prefix.position is not None and self._tied_to is not None:
            self._tied[raw.topic, raw.partition].passed(prefix.position)

    def _passed(self, slot: Slot, offset: int) -> bool:
        """Return whether the record is finished with all before it, or needs no commit of ours."""
        prefix = self._prefixes.get(slot)
        return prefix is None or offset < max(self._committed.get(slot, 0), prefix.position or 0)

    async def _carry_out(self, raw: Raw, record: Record) -> None:
        results = await self._handle(raw, record)
        if results:
            await self._publish(results)
        await self._service.finished(record)
        if results is not None:
            self._burials.handled()

    async def _handle(self, raw: Raw, record: Record) -> Sequence[Event | Tombstone] | None:
        """Return what follows from the record; None when it is a dead letter now."""
        bugs = tries = 0
        while True:
            try:
                return await self._service.handle(record)
            except Temporary as error:
                tries += 1
                metrics.RETRIES.labels(self.name).inc()
                if tries & (tries - 1) == 0:  # the 1st, 2nd, 4th, 8th … time
                    log.warning(
                        "consumer=%s id=%s event=retry tries=%d error=%s: %s",
                        self.name,
                        record.key,
                        tries,
                        type(error).__name__,
                        error,
                    )
                await self._retry_after(retry_delay(tries, random.random()))  # noqa: S311 - spreads load, keeps no secret
            except GatepostError as error:
                await self._bury(raw, f"{type(error).__name__}: {error}")
                return None
            except Exception as error:  # a defect: the record must neither be lost nor stop its partition
                bugs += 1
                log.exception("consumer=%s id=%s event=defect tries=%d", self.name, record.key, bugs)
                if bugs >= BUG_TRIES:
                    await self._bury(raw, f"defect: {type(error).__name__}")
                    return None
                await self._retry_after(retry_delay(bugs, random.random()))  # noqa: S311 - as above

    async def _publish(self, results: Iterable[Event | Tombstone]) -> None:
        results = tuple(results)
        await self._insist(lambda: self._bus.publish(results))

    async def _insist(self, act: Callable[[], Awaitable[None]]) -> None:
        tries = 0
        while True:
            try:
                return await act()
            except BusUnavailable as error:
                tries += 1
                log.warning("consumer=%s event=publish-retry tries=%d error=%s", self.name, tries, error)
                await self._retry_after(retry_delay(tries, random.random()))  # noqa: S311 - as above

    async def _bury(self, raw: Raw, reason: str) -> None:
        if self._over is None and (many := self._burials.failed()) is not None:
            self._over = TooManyDeadLetters(
                f"{self.name} could not handle {many}, the last of them at {raw.topic} {raw.partition}/{raw.offset}:"
                f" {reason}; it stopped, and they stay in their topic"
            )
            self._given_up.set()
        await happens(self._given_up, SUSPECT_FOR)
        if self._given_up.is_set():
            raise asyncio.CancelledError  # unfinished, so uncommitted: whoever reads next finds the record in its place
        log.error(
            "consumer=%s id=%s event=dead-letter topic=%s partition=%d offset=%d reason=%s",
            self.name,
            raw.key.decode("ascii", "replace"),
            raw.topic,
            raw.partition,
            raw.offset,
            reason,
        )
        letter = DeadLetter(
            topic=raw.topic,
            partition=raw.partition,
            offset=raw.offset,
            group=self.name,
            reason=reason,
            value=base64.b64encode(raw.value or b"").decode(),
            at=self._clock.now(),
            key=raw.key.decode("utf-8", "replace"),
        )
        await self._publish((letter,))

    async def _pause(self, seconds: float) -> None:
        await happens(self._stop, seconds)

    async def _retry_after(self, seconds: float) -> None:
        await self._pause(seconds)
        if self._stop.is_set():
            raise asyncio.CancelledError  # unfinished, so uncommitted: the next owner takes the record up

    # --- commits

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_EVERY)
            await self._commit()
            for topic, lag in self._source.lag().items():
                metrics.LAG.labels(self.name, topic).set(lag)

    async def _commit(self, *, last: bool = False) -> None:
        """Commit what is finished; the `last` commit takes back what was announced, as nothing is under way."""
        async with self._committing:
            positions = {
                slot: prefix.position
                for slot, prefix in self._prefixes.items()
                if prefix.position is not None and prefix.position != self._committed.get(slot)
            }
            try:
                await self._service.before_commit()
            except Temporary as error:
                log.warning("consumer=%s event=commit-put-off error=%s", self.name, error)
                return
            notes = self._announced
            if last:
                positions = {**{slot: self._committed.get(slot, 0) for slot in self._announced}, **positions}
                # What somebody else may have begun stays suspect for the next owner, as far as we didn't come to it.
                notes = {slot: to for slot, to in self._suspect.items() if positions.get(slot, to) < to}
            said = {slot: str(to) for slot, to in notes.items()}
            if positions and await self._source.commit(positions, said):
                self._committed.update(positions)

    async def _drain(self) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=DRAIN_WITHIN)
            for task in late:
                task.cancel()
            if late:
                log.warning("consumer=%s event=drain-cut-short records=%d", self.name, len(late))
                await asyncio.wait(late)
        await self._commit(last=all(prefix.in_flight == 0 for prefix in self._prefixes.values()))

    def _partitions(self) -> frozenset[int]:
        return frozenset(partition for _, partition in self._prefixes)

    # --- what the source tells

    async def revoked(self) -> None:
        """Finish, commit and let go of every partition (eager rebalance: all of them move)."""
        self._turn += 1
        await self._end_loading()
        if not self._prefixes:
            return
        await self._drain()
        await self._service.revoked(self._partitions())
        self._prefixes.clear()
        self._committed.clear()
        self._announced.clear()
        self._suspect.clear()
        self._tied.clear()

    async def assigned(self, slots: frozenset[Slot]) -> None:
        """Begin to load what belongs to the partitions: nothing is handled before that is done.

        Not awaited here: aiokafka sends no heartbeat before this has returned. A load that takes longer than a session
        would lose the partitions again, and so begin anew for ever.
        """
        await self._end_loading()
        self._prefixes = {slot: Prefix() for slot in slots}
        self._loading = asyncio.create_task(self._load(slots), name=f"{self.name}-load")

    async def _load(self, slots: frozenset[Slot]) -> None:
        partitions = frozenset(partition for _, partition in slots)
        if self._announces or self._tied_to is not None:
            await self._insist(lambda: self._look_back(slots))
        await self._insist(lambda: self._service.assigned(partitions))
        self._settled.set()
        self.assigned_once.set()
        log.info("consumer=%s event=assigned partitions=%s", self.name, sorted(slots))

    async def _end_loading(self) -> None:
        """Let nothing begin any more; a load under way is for partitions that are no longer ours."""
        self._settled.clear()
        loading, self._loading = self._loading, None
        if loading is not None:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)

    def _raise_failed_load(self) -> None:
        if self._loading is None or not self._loading.done() or self._loading.cancelled():
            return
        if (error := self._loading.exception()) is not None:
            reason = f"{type(error).__name__}: {error}"
            raise LoadFailed(f"{self.name} could not load what belongs to its partitions: {reason}") from error

    async def _look_back(self, slots: frozenset[Slot]) -> None:
        """Learn how far the last owners may have come that did not end cleanly."""
        for slot, left in (await self._source.left(slots)).items():
            self._committed[slot] = left.position
            if not self._announces:
                continue
            said = int(left.note) if left.note.isdecimal() else 0
            self._announced[slot] = said
            self._suspect[slot] = min(said, left.end)
            if self._suspect[slot] > left.position:
                count = self._suspect[slot] - left.position
                log.warning("consumer=%s event=unclean-end partition=%d suspect=%d", self.name, slot[1], count)


def decode(raw: Raw) -> Record:
    """Return the record with its event; raise UnreadableEvent when the value is not one of its topic's."""
    topic = BY_NAME[raw.topic]
    try:
        event = None if raw.value is None else wire.decode(raw.value, topic.struct)
        return Record(topic, raw.partition, raw.offset, raw.key.decode("utf-8"), event, raw.timestamp)
    except (wire.Undecodable, UnicodeDecodeError) as error:
        raise UnreadableEvent(str(error)) from error


def retry_delay(tries: int, chance: float) -> float:
    """Return the seconds to wait before the next try: doubling, capped, with up to half of it at random."""
    return float(min(RETRY_MOST, RETRY_FIRST * 2 ** min(tries - 1, 10))) * (0.5 + chance / 2)
