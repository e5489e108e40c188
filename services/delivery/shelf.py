"""What waits, small: a million messages of one dead destination must fit beside everything else.

The same promise as `runtime.table.Table` over mail.deferred.v1. Each entry is one `bytes`: a header that decisions need
often, then the event compressed against what such events have in common. Nothing here is an object that the garbage
collector would have to walk through.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import operator
import struct
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from typing import Final, cast

import msgspec
import zstandard

from schemas import wire
from schemas.catalog import DEFERRED, key_of, partition_of
from schemas.events import Branch, Deferred, Direction, Disposition, Envelope, Event, Evidence, Received, Status
from services.core.spread import Spread
from services.runtime.bus import Bus, Tombstone
from services.runtime.source import Raw

log = logging.getLogger("gatepost.delivery")

_HEAD: Final = struct.Struct("<ddIB")  # since, next_at, home, flags
_WRITTEN: Final = 1  # the topic has the key, or may have it
_LEVEL: Final = -1  # against a typical event level 1 saves 3 % of the octets, and costs twice the time of a load
_TURN: Final = 256  # records that are written before others get their turn in the loop
_LOADED: Final = 64  # records that are loaded before others get theirs: each is read and compressed
_RUN: Final = 2_048  # keys that are sorted or looked at before others get theirs


class Brief(msgspec.Struct):
    """The part of a Deferred that says where it belongs; the rest isn't decoded as it is loaded."""

    class Of(msgspec.Struct):
        """The part of its disposition."""

        class Message(msgspec.Struct):
            """The part of its message."""

            id: str
            customer: str
            domain: str
            bounce_of: str = ""
            own: str = ""
            direction: Direction = Direction.INBOUND

        class Way(msgspec.Struct):
            """The part of a branch."""

            redirect_to: str = ""
            encrypt: bool = False

        received: Message
        branches: tuple[Way, ...]

    disposition: Of
    branch: int
    recipients: tuple[str, ...]
    since: float
    next_at: float
    under_way: bool = False


Place = Callable[[Deferred | Brief], int]
_brief = msgspec.json.Decoder(Brief)


def _sample() -> bytes:
    """Return an event as most of them are. It is never stored: any text compresses and comes back the same."""
    envelope = Envelope(
        reverse_path="noreply@mail.example.com",
        recipients=("info@example.org",),
        client_ip="192.0.2.25",
        client_port=48122,
        helo="mail-sor.outbound.protection.example.com",
        tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
    )
    received = Received(
        id="01K8Z4N5QJ3M8V7T2R6XW9YB0C",
        customer="example",
        domain="example.org",
        key="mail/example/0C/01K8Z4N5QJ3M8V7T2R6XW9YB0C",
        envelope=envelope,
        size=5312,
        received_at=1762243201.482,
        server="mx.example.net",
        plan=("auth", "content", "virus"),
    )
    seen = (
        ("HTML_ONLY", "the message has no plain text part"),
        ("SPF_SOFTFAIL", "SPF of example.com: softfail"),
        ("DKIM_FAIL", "DKIM of example.com: the body was changed"),
        ("DMARC_FAIL", "DMARC of example.com fails, and the domain asks for p=none"),
    )
    disposition = Disposition(
        received=received,
        branches=(
            Branch(recipients=("info@example.org",), action="deliver", rule="default", reason="no rule objects"),  # type: ignore[arg-type]  # as it is on the wire
        ),
        status=Status.CLEAN,
        score=0.4,
        evidence=tuple(Evidence(code=code, text=text, score=0.5) for code, text in seen),
        auth_results=(
            ("spf", "pass smtp.mailfrom=mail.example.com"),
            ("dkim", "pass header.d=example.com header.s=selector1 header.b=dGVzdA"),
            ("dkim", "none"),
            ("dmarc", "pass header.from=example.com policy.dmarc=reject"),
        ),
        scanners=("auth/1=clean", "content/1=clean", "virus/1=clean"),
        decided_at=1762243201.503,
    )
    replies = ("the destination is down", "waits for a connection", ":25: Connection refused", "451 4.3.0 try later")
    entry = Deferred(
        disposition=disposition,
        branch=0,
        recipients=("info@example.org",),
        attempts=0,
        since=1762243201.503,
        next_at=1762243261.503,
        reply="; ".join(replies),
    )
    return wire.encode(entry)


class Shelf:
    """What waits, by key. An entry's home is the number of its destination, which the queue gives out."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._live: defaultdict[int, Spread[bytes]] = defaultdict(Spread)  # by partition
        self._gone: set[str] = set()  # keys that the topic has and we don't
        self._dirty: set[str] = set()
        self._writing = asyncio.Lock()  # two writers could bring an older state of a key after a newer one
        common = zstandard.ZstdCompressionDict(_sample(), dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        common.precompute_compress(level=_LEVEL)
        self._pack = zstandard.ZstdCompressor(
            level=_LEVEL, dict_data=common, write_checksum=False, write_dict_id=False
        ).compress
        self._unpack = zstandard.ZstdDecompressor(dict_data=common).decompress

    # --- one entry

    def get(self, key: str) -> Deferred | None:
        """Return the event under the key, None when there is none."""
        packed = self._part(key).get(key)
        return None if packed is None else wire.decode(self._unpack(packed[_HEAD.size :]), Deferred)

    def put(self, entry: Deferred, home: int = 0) -> None:
        """Set the event under its key; durable at the next flush."""
        key = key_of(entry)
        part = self._part(key)
        before = part.get(key)
        written = before[_HEAD.size - 1] & _WRITTEN if before is not None else int(key in self._gone) * _WRITTEN
        self._gone.discard(key)
        packed = self._pack(wire.encode(entry))
        part[key] = _HEAD.pack(entry.since, entry.next_at, home, written) + packed
        self._dirty.add(key)

    def delete(self, key: str) -> None:
        """Take the key out; one that isn't there is fine."""
        packed = self._part(key).pop(key)
        if packed is not None:
            self._dirty.add(key)
            if packed[_HEAD.size - 1] & _WRITTEN:
                self._gone.add(key)

    def since(self, key: str) -> float:
        """Return since when the entry waits, without decoding it; 0 when there is no such entry."""
        packed = self._part(key).get(key)
        return 0.0 if packed is None else _since(packed)

    def home(self, key: str) -> int | None:
        """Return the number of the entry's destination, None when there is no such entry."""
        packed = self._part(key).get(key)
        return None if packed is None else int(_HEAD.unpack_from(packed)[2])

    def __contains__(self, key: str) -> bool:
        return key in self._part(key)

    def __len__(self) -> int:
        return sum(map(len, self._live.values()))

    def items(self) -> Iterator[tuple[str, Deferred]]:
        """Yield a copy of what is there, decoded one by one."""
        for key in [key for live in self._live.values() for part in live.parts for key in part]:
            if (entry := self.get(key)) is not None:
                yield key, entry

    async def keys(self, partitions: frozenset[int]) -> Iterator[str]:
        """Return the keys of these partitions, the longest waiting first.

        Sorted in runs, which are merged as they are asked for: a million at once would hold the loop for a second. A
        run is a dictionary of numbers, as the garbage collector would visit each key of a list or tuple.
        """
        runs: list[dict[str, float]] = []
        for part in [part for partition in sorted(partitions) for part in self._live[partition].parts]:
            waiting = iter(part.copy().items())
            while run := [(_since(packed), key) for key, packed in itertools.islice(waiting, _RUN)]:
                runs.append({key: since for since, key in sorted(run)})
                await asyncio.sleep(0)
        return (key for key, _ in heapq.merge(*(run.items() for run in runs), key=operator.itemgetter(1)))

    def _part(self, key: str) -> Spread[bytes]:
        return self._live[partition_of(key, DEFERRED.partitions)]

    @staticmethod
    def partition_of(key: str) -> int:
        """Return the partition that the key belongs to."""
        return partition_of(key, DEFERRED.partitions)

    # --- the topic

    async def load(self, partitions: frozenset[int], place: Place) -> list[str]:
        """Read the partitions from the topic; return the keys of attempts that began and whose end nobody wrote down.

        Raises BusUnavailable when that can't be done to the end.
        """
        await self.drop(partitions)
        cut: set[str] = set()
        count = 0
        records = cast("AsyncGenerator[Raw]", self._bus.read_raw(DEFERRED, sorted(partitions), sure=True))
        async with contextlib.aclosing(records):  # a load that is cancelled lets go of its connection at once
            async for raw in records:
                count += 1
                if count % _LOADED == 0:
                    await asyncio.sleep(0)
                key = raw.key.decode("utf-8", "replace")
                cut.discard(key)
                part = self._live[raw.partition]
                if raw.value is None:
                    part.pop(key)
                    continue
                try:
                    brief = _brief.decode(raw.value)
                except msgspec.DecodeError as error:
                    log.error("topic=%s offset=%d event=unreadable error=%s", raw.topic, raw.offset, error)
                    continue
                if brief.under_way:
                    cut.add(key)
                head = _HEAD.pack(brief.since, brief.next_at, place(brief), _WRITTEN)
                part[key] = head + self._pack(raw.value)
        return sorted(cut)

    async def drop(self, partitions: Iterable[int]) -> None:
        """Forget the partitions: they are somebody else's now."""
        gone = frozenset(partitions)
        self._gone = {key for key in self._gone if self.partition_of(key) not in gone}
        self._dirty = {key for key in self._dirty if self.partition_of(key) not in gone}
        for part in [part for partition in gone for part in self._live.pop(partition, Spread[bytes]()).parts]:
            while part:
                for _ in range(min(_RUN, len(part))):
                    part.popitem()
                await asyncio.sleep(0)

    async def flush(self, only: Iterable[str] | None = None) -> None:
        """Write what changed and return when it is acknowledged; when that fails or is cancelled, it stays due.

        `only` names the keys to write; all of them by default.
        """
        async with self._writing:
            due = set(self._dirty) if only is None else self._dirty & set(only)
            if not due:
                return
            self._dirty -= due
            waiting = list(due)
            try:
                while waiting:
                    await self._write(waiting[-_TURN:])
                    del waiting[-_TURN:]
            finally:
                self._dirty |= set(waiting)  # a commit after this one must not pass what isn't written

    async def _write(self, keys: Sequence[str]) -> None:
        items: list[Event | Tombstone] = []
        for key in keys:
            if (entry := self.get(key)) is not None:
                items.append(entry)
            elif key in self._gone:
                items.append(Tombstone(DEFERRED, key))
        for item in items:
            if not isinstance(item, Tombstone):  # before it is acknowledged: it may land though nobody hears of it
                self._flag(key_of(item), _WRITTEN)
        if items:
            await self._bus.publish(items)
        for item in items:
            if isinstance(item, Tombstone):
                self._gone.discard(item.key)
                self._flag(item.key, 0)  # put again meanwhile: not written yet

    def _flag(self, key: str, flags: int) -> None:
        part = self._part(key)
        if (packed := part.get(key)) is not None:
            since, next_at, home, _ = _HEAD.unpack_from(packed)
            part[key] = _HEAD.pack(since, next_at, home, flags) + packed[_HEAD.size :]


def _since(packed: bytes) -> float:
    return float(_HEAD.unpack_from(packed)[0])
