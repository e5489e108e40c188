"""The bus on Apache Kafka: aiokafka with the settings that lose nothing.

Its defaults do not fit: acks=1, automatic commits of what was delivered rather than processed, and `latest` for a group
without offsets, which skips what was accepted before the group first joined.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    UnknownProducerId,
)

from schemas import wire
from schemas.catalog import BY_STRUCT, Topic, key_of, partition_of
from schemas.events import Event
from services.core.errors import BusUnavailable, ConfigError, StartError, UnreadableEvent
from services.core.waiting import asked_to_end
from services.runtime import cut, metrics
from services.runtime.bus import MARK, Record, Tombstone
from services.runtime.consume import decode
from services.runtime.kafka_security import client_settings
from services.runtime.membership import Membership
from services.runtime.patience import FAREWELL, LAST, Patience
from services.runtime.source import Left, Listener, Raw, Slot
from services.runtime.tracing import TRACING

log = logging.getLogger("gatepost.kafka")

STUCK_MOST = 2_000  # records without an acknowledgement after their limit; past it `publish` refuses at once
SESSION_MS = 10_000  # a member that was killed is replaced after this
REBALANCE_MS = 60_000  # how long members may drain; aiokafka's default is the session's, which cuts the drain short
FETCH_BYTES = 1_048_576
FOLLOW_WAIT_MS = 4_000  # how long the broker may keep a follower's answer while there is nothing to say
REQUEST_MOST = 2_790_000  # octets of a record: the largest dead letter; each topic has a limit of its own
GATHER_BYTES = 65_536  # a reader that may wait is answered at once when so much has come
READ_MOST = 500  # records that are decoded before others get their turn in the loop
STALL = 30.0  # seconds without a record after which reading a topic to its end is given up

_FATAL = (OutOfOrderSequenceNumber, ProducerFenced, UnknownProducerId)  # the producer never recovers from these


class _Row(NamedTuple):
    """What is appended."""

    topic: str
    partition: int
    key: str
    value: bytes | None


class KafkaBus:
    """Publishes with one idempotent producer, and reads topics without a group."""

    def __init__(self, bootstrap: str, client: str, *, linger_ms: int = 0, session_ms: int = SESSION_MS) -> None:
        """`session_ms`: without a heartbeat for so long, a member of a group loses its partitions."""
        self.bootstrap = bootstrap
        self._session_ms = session_ms
        self._client = client
        self._linger_ms = linger_ms
        self._producer: AIOKafkaProducer | None = None
        self._stuck: set[asyncio.Future[Any]] = set()
        self._starting = asyncio.Lock()
        self._closed = False
        self._cut_as_said = False
        self._patience = Patience()

    def hurry(self, within: float = FAREWELL) -> None:
        """We are to stop: from now on a broker that is silent holds up nobody for more than `within` seconds in all."""
        self._patience.hurry(within)

    async def check(self, *, within: float = 3.0) -> None:
        """Return when a broker answers; raise BusUnavailable otherwise, with a reason for the operator."""
        try:
            async with asyncio.timeout(within):
                producer = await self._ready()
                answered = await producer.client.force_metadata_update()
        except TimeoutError as error:
            raise BusUnavailable(f"{self.bootstrap}: no answer within {within:g} s") from error
        if not answered:
            raise BusUnavailable(f"{self.bootstrap}: no broker can be reached")

    async def start(self) -> None:
        """Connect the producer; raise BusUnavailable when the broker can't be reached.

        Raises ConfigError when its topics are cut otherwise than this process was told, as all that reads or writes.
        """
        await self._ready()

    async def close(self) -> None:
        """Let go of the producer; what it still holds is given five seconds."""
        self._closed = True
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer, self._patience)

    async def _ready(self) -> AIOKafkaProducer:
        if self._producer is not None and _why_deaf(self._producer.client) is None:
            return self._producer
        async with self._starting:
            if self._closed:
                raise BusUnavailable("closed")
            if self._producer is not None and (why := _why_deaf(self._producer.client)) is not None:
                log.error("event=client-deaf client=%s error=%s", self._client, why)
                await self._restart()
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self.bootstrap,
                    client_id=self._client,
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=self._linger_ms,
                    max_batch_size=131_072,
                    max_request_size=REQUEST_MOST,
                    request_timeout_ms=10_000,
                    metadata_max_age_ms=30_000,
                    **client_settings(),
                )
                try:
                    await producer.start()
                    await self._require_cut(producer.client)
                except (KafkaError, OSError) as error:
                    await _stop(producer, self._patience)
                    raise BusUnavailable(f"{self.bootstrap}: {error}") from error
                except (asyncio.CancelledError, ConfigError):
                    await _stop(producer, self._patience)
                    raise
                self._producer = producer
            return self._producer

    async def _require_cut(self, client: Any) -> None:  # noqa: ANN401 - aiokafka ships no types
        # Once: what is provisioned is never cut again.
        self._cut_as_said = self._cut_as_said or await cut.require_of(client)

    async def publish(self, items: Iterable[Event | Tombstone], *, within: float = 10.0) -> None:
        """See `bus.Bus.publish`."""
        items = tuple(items)
        await self._append([_encode(item) for item in items], within)
        metrics.published(items, time.time())

    async def put_back(self, topic: Topic, partition: int, key: str, value: bytes, *, within: float = 10.0) -> None:
        """Append octets that were a record once, as they were: for a person who has looked at a dead letter.

        Raises BusUnavailable as `publish` does.
        """
        await self._append([_Row(topic.name, partition, key, value)], within)

    async def _append(self, rows: Iterable[_Row], within: float) -> list[int]:  # noqa: C901 - a case a failure
        """Return the offset of each row, once all are acknowledged."""
        if len(self._stuck) >= STUCK_MOST:
            raise BusUnavailable(f"{len(self._stuck)} records wait for the broker already")
        waiting: list[asyncio.Future[Any]] = []
        headers = TRACING.headers()
        try:
            async with self._patience.within(within):
                producer = await self._ready()
                for topic, partition, key, value in rows:
                    waiting.append(
                        await producer.send(topic, value, key.encode(), partition=partition, headers=headers)
                    )
                for sent in waiting:
                    await asyncio.shield(sent)
                    self._patience.answered()
            return [sent.result().offset for sent in waiting]
        except TimeoutError as error:
            raise BusUnavailable(f"no acknowledgement within {within:g} s") from error
        except asyncio.CancelledError as error:
            if asked_to_end():
                raise
            raise BusUnavailable("the client gave it up") from error
        except _FATAL as error:
            await self._restart()
            raise BusUnavailable(f"producer restarted after {type(error).__name__}") from error
        except (KafkaError, OSError) as error:
            raise BusUnavailable(f"{type(error).__name__}: {error}") from error
        finally:
            for sent in waiting:
                if not sent.done():
                    self._stuck.add(sent)
                    sent.add_done_callback(self._unstick)
                else:
                    _settle(sent)

    def _unstick(self, sent: asyncio.Future[Any]) -> None:
        self._stuck.discard(sent)
        _settle(sent)

    async def _restart(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            log.error("event=producer-restart client=%s", self._client)
            self._stuck.clear()  # what it holds is never acknowledged now
            await _stop(producer, self._patience)

    def source(
        self,
        group: str,
        topics: Iterable[Topic],
        *,
        gather: float = 0.0,
        from_now: bool = False,
        membership: Membership | None = None,
    ) -> GroupSource:
        """Return a member of the group for these topics, not yet joined.

        `gather` is how many seconds the broker may let records gather before it answers, for a group that no mail
        waits for: an answer for each record costs broker and reader milliseconds of CPU a message. A group that has
        committed nothing begins with the oldest records; `from_now`: with those that come after. `membership` is
        confirmed by the member's heartbeats.
        """
        names = tuple(topic.name for topic in topics)
        return GroupSource(
            self.bootstrap,
            group,
            self._client,
            names,
            gather,
            self._patience,
            from_now=from_now,
            session_ms=self._session_ms,
            membership=membership,
        )

    async def read(
        self, topic: Topic, partitions: Iterable[int] | None = None, *, tail: int | None = None, sure: bool = False
    ) -> AsyncIterator[Record]:
        """See `bus.Bus.read`."""
        async for raw in self.read_raw(topic, partitions, tail=tail, sure=sure):
            try:
                yield decode(raw)
            except UnreadableEvent as error:
                log.error("topic=%s offset=%d event=unreadable error=%s", raw.topic, raw.offset, error)

    async def read_raw(
        self, topic: Topic, partitions: Iterable[int] | None = None, *, tail: int | None = None, sure: bool = False
    ) -> AsyncIterator[Raw]:
        """See `bus.Bus.read_raw`."""
        slots = [TopicPartition(topic.name, p) for p in (range(topic.partitions) if partitions is None else partitions)]
        if not slots:
            return
        async with _reader(self.bootstrap, self._client, slots, self._patience) as consumer:
            await self._require_cut(consumer._client)
            first = await consumer.beginning_offsets(slots)
            if sure:
                marks = await self._append([_Row(topic.name, slot.partition, MARK, None) for slot in slots], STALL)
                if min(marks) < 0:  # appended again after a lost answer, and the broker doesn't remember where
                    raise BusUnavailable(f"{topic.name}: where its end is was not said")
                last = dict(zip(slots, marks, strict=True))
            else:
                last = await consumer.end_offsets(slots)
            for slot in slots:
                consumer.seek(slot, first[slot] if tail is None else max(first[slot], last[slot] - tail))
            remaining = {slot for slot in slots if last[slot] > await consumer.position(slot)}
            while remaining:
                async with asyncio.timeout(STALL):
                    batch = await consumer.getmany(*remaining, timeout_ms=500, max_records=READ_MOST)
                for slot, records in batch.items():
                    for record in records:
                        if record.offset < last[slot]:
                            yield _raw(record)
                remaining = {slot for slot in remaining if await consumer.position(slot) < last[slot]}

    async def follow(self, topic: Topic, caught_up: asyncio.Event) -> AsyncIterator[Record]:
        """See `bus.Bus.follow`."""
        slots = [TopicPartition(topic.name, partition) for partition in range(topic.partitions)]
        at: dict[TopicPartition, int] = {}
        while True:
            try:
                async with _reader(self.bootstrap, self._client, slots, self._patience) as consumer:
                    await self._require_cut(consumer._client)
                    last = await consumer.end_offsets(slots)
                    for slot in slots:
                        if slot in at:
                            consumer.seek(slot, at[slot])
                        else:
                            await consumer.seek_to_beginning(slot)
                    behind = True
                    while True:
                        if behind and all([await consumer.position(slot) >= last[slot] for slot in slots]):
                            behind = False
                            caught_up.set()
                            _be_patient(consumer)
                        if (why := _why_deaf(consumer._client)) is not None:
                            raise BusUnavailable(f"the client is deaf: {why}")
                        for record in _decoded(await consumer.getmany(timeout_ms=1000)):
                            yield record
                            at[TopicPartition(topic.name, record.partition)] = record.offset + 1
            except (KafkaError, BusUnavailable, OSError) as error:
                log.warning("topic=%s event=follow-interrupted error=%s", topic.name, error)
                await asyncio.sleep(1.0)


class GroupSource:
    """One member of a consumer group on Kafka."""

    def __init__(  # noqa: PLR0913  # what a member is made of
        self,
        bootstrap: str,
        group: str,
        client: str,
        topics: tuple[str, ...],
        gather: float = 0.0,
        patience: Patience | None = None,
        *,
        from_now: bool = False,
        session_ms: int = SESSION_MS,
        membership: Membership | None = None,
    ) -> None:
        self._topics = topics
        self._membership = membership
        self._patience = patience or Patience()
        self._from_now = from_now
        self._settings = {
            "bootstrap_servers": bootstrap,
            "group_id": group,
            "client_id": client,
            "enable_auto_commit": False,
            "auto_offset_reset": "latest" if from_now else "earliest",
            # Range puts partition n of every topic on one member; policy joins topics, so it needs just that.
            "partition_assignment_strategy": [RangePartitionAssignor],
            "session_timeout_ms": session_ms,
            "heartbeat_interval_ms": 1_000,
            "rebalance_timeout_ms": REBALANCE_MS,
            "max_partition_fetch_bytes": FETCH_BYTES,
            **({"fetch_min_bytes": GATHER_BYTES, "fetch_max_wait_ms": int(gather * 1000)} if gather else {}),
            "metadata_max_age_ms": 30_000,
            "request_timeout_ms": REBALANCE_MS + 10_000,
            "retry_backoff_ms": 100,
            **client_settings(),
        }
        self._consumer: AIOKafkaConsumer | None = None
        self._paused = False
        self._read: dict[TopicPartition, int] = {}  # next offset of each partition that brought something

    async def start(self, listener: Listener) -> None:
        """See `source.Source.start`."""
        consumer = AIOKafkaConsumer(**self._settings)
        consumer.subscribe(list(self._topics), listener=_Rebalance(self, listener))
        self._consumer = consumer  # the first assignment comes before `start` returns, and asks for it
        try:
            await consumer.start()
        except (KafkaError, OSError) as error:
            self._consumer = None
            await _leave(consumer, self._patience)
            raise BusUnavailable(str(error)) from error
        except asyncio.CancelledError:
            # A broker that goes away while the group forms is waited for without a limit: whoever stops cuts it off.
            self._consumer = None
            await _leave(consumer, self._patience)
            raise
        if self._membership is not None:
            _confirm(self._membership, consumer._coordinator, self._settings["session_timeout_ms"] / 2_000)

    async def poll(self, within: float, limit: int) -> list[Raw]:
        """See `source.Source.poll`."""
        if self._consumer is None:
            raise BusUnavailable("not started")
        if (why := _why_deaf(self._consumer._client)) is not None:
            raise StartError(
                f"the Kafka client of {self._settings['group_id']} is deaf, and must be started again: {why}"
            )
        try:
            # During a rebalance aiokafka waits without a limit; a stopping service must not.
            async with asyncio.timeout(within + 1.0):
                batch = await self._consumer.getmany(timeout_ms=int(within * 1000), max_records=limit)
        except TimeoutError:
            return []
        except asyncio.CancelledError as error:
            if asked_to_end():
                raise
            raise BusUnavailable("the client gave it up") from error
        except KafkaError as error:
            raise BusUnavailable(f"{type(error).__name__}: {error}") from error
        self._read |= {slot: records[-1].offset + 1 for slot, records in batch.items() if records}
        return [_raw(record) for records in batch.values() for record in records]

    async def commit(self, positions: Mapping[Slot, int], notes: Mapping[Slot, str] | None = None) -> bool:
        """See `source.Source.commit`."""
        if self._consumer is None:
            return False
        offsets = {TopicPartition(*slot): (offset, (notes or {}).get(slot, "")) for slot, offset in positions.items()}
        try:
            async with self._patience.within(10.0):
                await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            log.warning("event=commit-refused error=%s", type(error).__name__)
            return False
        except asyncio.CancelledError:
            if asked_to_end():
                raise
            log.warning("event=commit-failed error=CancelledError")
            return False
        except (TimeoutError, KafkaError) as error:
            log.warning("event=commit-failed error=%s", type(error).__name__)
            return False
        self._patience.answered()
        return True

    async def left(self, slots: Iterable[Slot]) -> dict[Slot, Left]:
        """See `source.Source.left`."""
        if self._consumer is None:
            raise BusUnavailable("not started")
        parts = [TopicPartition(*slot) for slot in slots]
        try:
            async with self._patience.within(20.0):
                ends = await self._consumer.end_offsets(parts)
                # `committed` gives the offset alone; the admin client, which gives the note, would connect anew.
                found = await self._consumer._coordinator.fetch_committed_offsets(parts)
        except (TimeoutError, KafkaError) as error:
            raise BusUnavailable(f"{type(error).__name__}: {error}") from error
        return {
            (part.topic, part.partition): Left(
                found[part].offset if part in found else 0, found[part].metadata if part in found else "", ends[part]
            )
            for part in parts
        }

    async def begin_now(self, parts: Iterable[TopicPartition]) -> None:
        """Begin at the ends of partitions in which the group has no position: what comes from now on is its own.

        Committed at once, so that records which come while nobody reads are seen as its lag and not passed over. And
        sought, since the fetcher may be asking for the end by itself, and be told one that lies behind the next record.
        """
        if not self._from_now or self._consumer is None:
            return
        wanted = list(parts)
        try:
            async with asyncio.timeout(20.0):
                known = await self._consumer._coordinator.fetch_committed_offsets(wanted)
                ends = await self._consumer.end_offsets([part for part in wanted if part not in known])
        except (TimeoutError, KafkaError) as error:
            log.warning("event=no-beginning error=%s", type(error).__name__)
            return
        for part, end in ends.items():
            self._consumer.seek(part, end)
        if ends:
            await self.commit({(part.topic, part.partition): end for part, end in ends.items()})

    def lag(self) -> Mapping[str, int]:
        """See `source.Source.lag`: from the high-water marks that came with the last fetches."""
        found: dict[str, int] = {}
        if self._consumer is None:
            return found
        for slot in self._consumer.assignment():
            upto, at = self._consumer.highwater(slot), self._read.get(slot)
            known = upto is not None and at is not None
            found[slot.topic] = found.get(slot.topic, 0) + (max(0, upto - at) if known else 0)
        return found

    def pause(self) -> None:
        """See `source.Source.pause`."""
        if self._consumer is not None:
            self._paused = True
            self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        """See `source.Source.resume`."""
        if self._consumer is not None and self._paused:
            self._paused = False
            self._consumer.resume(*self._consumer.assignment())

    async def stop(self) -> None:
        """See `source.Source.stop`."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _leave(consumer, self._patience)


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    def __init__(self, source: GroupSource, listener: Listener) -> None:
        self._source = source
        self._listener = listener

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        if set(revoked):
            await self._listener.revoked()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._source.begin_now(assigned)
        await self._listener.assigned(frozenset((slot.topic, slot.partition) for slot in assigned))


def _confirm(membership: Membership, coordinator: Any, lasts: float) -> None:  # noqa: ANN401 - aiokafka ships no types
    """Let each heartbeat that the broker has answered confirm the membership, from when it was sent."""
    heartbeat = coordinator._do_heartbeat

    async def confirmed() -> Any:  # noqa: ANN401 - as above
        sent = time.monotonic()
        ours = await heartbeat()
        if ours:
            membership.confirm(sent, lasts)
        return ours

    coordinator._do_heartbeat = confirmed


def _why_deaf(client: Any) -> str | None:  # noqa: ANN401 - aiokafka ships no types
    """Return why the client learns nothing more of its cluster, None while it does.

    One task of aiokafka's does that. Once it has ended, as it did under chaos, whoever needs a leader waits for it for
    ever: what it sent is never acknowledged, and a group is never joined again.
    """
    task = client._sync_task
    if task is None or not task.done():
        return None
    return "cancelled" if task.cancelled() else repr(task.exception())[:200]


@contextlib.asynccontextmanager
async def _reader(
    bootstrap: str, client: str, slots: list[TopicPartition], patience: Patience
) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id=client,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
        request_timeout_ms=10_000,
        metadata_max_age_ms=30_000,
        **client_settings(),
    )
    try:
        await consumer.start()
        consumer.assign(slots)
        yield consumer
    except (KafkaError, TimeoutError, OSError) as error:
        raise BusUnavailable(f"{bootstrap}: {error or type(error).__name__}") from error
    finally:
        await _leave(consumer, patience)


def _be_patient(consumer: AIOKafkaConsumer) -> None:
    """Let the broker keep an empty answer for longer: thirty followers that ask twice a second are a tenth of a core.

    Not before the follower has caught up: a seek waits for the answer that is on its way, and so for all of that time.
    """
    fetcher = consumer._fetcher  # aiokafka takes the wait when it is made, and no more
    fetcher._fetch_max_wait_ms = FOLLOW_WAIT_MS  # as above


def _decoded(batch: Mapping[TopicPartition, Iterable[Any]]) -> Iterator[Record]:
    for records in batch.values():
        for raw in records:
            try:
                yield decode(_raw(raw))
            except UnreadableEvent as error:
                log.error("topic=%s offset=%d event=unreadable error=%s", raw.topic, raw.offset, error)


def _raw(record: Any) -> Raw:  # noqa: ANN401 - aiokafka ships no types
    return Raw(
        record.topic,
        record.partition,
        record.offset,
        record.key or b"",
        record.value,
        record.timestamp / 1000,
        tuple(record.headers),
    )


def _encode(item: Event | Tombstone) -> _Row:
    if isinstance(item, Tombstone):
        topic, key, value = item.topic, item.key, None
    else:
        topic, key, value = BY_STRUCT[type(item)], key_of(item), wire.encode(item)
    return _Row(topic.name, partition_of(key, topic.partitions), key, value)


def _settle(sent: asyncio.Future[Any]) -> None:
    """Take note of a failure that nobody waits for any more: the caller has heard BusUnavailable already."""
    if not sent.cancelled() and (error := sent.exception()) is not None:
        log.warning("event=late-publish-failure error=%s", type(error).__name__)


async def _stop(producer: AIOKafkaProducer, patience: Patience) -> None:
    with contextlib.suppress(TimeoutError, KafkaError):
        async with patience.within(5.0, at_least=LAST):
            await producer.stop()


async def _leave(consumer: AIOKafkaConsumer, patience: Patience) -> None:
    """Say farewell to the group and close; with a broker that doesn't answer, aiokafka's own limit is the request's."""
    with contextlib.suppress(TimeoutError, KafkaError):
        async with patience.within(5.0, at_least=LAST):
            await consumer.stop()
