"""How far a consumer group has come, seen from outside it: a client of its own, which never joins."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.core.errors import BusUnavailable
from services.runtime.kafka_security import client_settings
from services.runtime.source import Slot

WITHIN = 10.0  # seconds for one reading


@dataclasses.dataclass(frozen=True, slots=True)
class Reach:
    """Where a group stands in a partition: the next offset that it will read, and the one after the last record."""

    next: int
    end: int


class Progress:
    """Reads the committed offsets of a group. Use it from one task."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._client: AIOKafkaConsumer | None = None

    async def read(self, slots: Collection[Slot]) -> dict[Slot, Reach]:
        """Return the reach in each partition; raise BusUnavailable when the broker didn't answer for all of them."""
        partitions = [TopicPartition(*slot) for slot in slots]
        if not partitions:
            return {}
        try:
            async with asyncio.timeout(WITHIN):
                client = await self._ready()
                starts = await client.beginning_offsets(partitions)
                # Read before the ends: what is committed in between must not pass for more than there is.
                done = {slot: await client.committed(slot) for slot in partitions}
                ends = await client.end_offsets(partitions)
        except (KafkaError, TimeoutError, OSError) as error:
            await self.close()
            raise BusUnavailable(f"{self._bootstrap}: {error or type(error).__name__}") from error
        return {
            (slot.topic, slot.partition): Reach(max(done[slot] or 0, starts[slot]), ends[slot]) for slot in partitions
        }

    async def close(self) -> None:
        """Let go of the client; the next reading makes another."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(5.0):
                    await client.stop()

    async def _ready(self) -> AIOKafkaConsumer:
        if self._client is None:
            # Without a subscription it is no member: it asks the group's coordinator, and never moves a partition.
            self._client = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap,
                client_id="gatepost-progress",
                group_id=self._group,
                enable_auto_commit=False,
                request_timeout_ms=10_000,
                **client_settings(),
            )
            await self._client.start()
        return self._client
