"""Faust's consumer, with the two holes shut through which it passed over records after a start or a rebalance.

When its tables are recovered, Faust 0.15.3 takes up the source partitions again while it still fetches, seeks them to
the committed offsets, and empties the queues of its agents. So what it had fetched in between depends on that seek. But
aiokafka leaves a partition where it is that has no committed offset, or 0: its first records stayed unread until the
next start. And where there is one, records that were on their way during the seek put forward the mark below which
Faust takes a record for seen: those before them were passed over.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar, Final, cast

import faust
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from mode.threads import ServiceThread, WorkerThread

from services.runtime.kafka import GATHER_BYTES

log = logging.getLogger("gatepost.signals")

IDLE_WITHIN: Final = 10.0  # seconds; a fetch takes one
GATHER_MS: Final = 200  # a count may be a fifth of a second late; an answer for each record costs CPU


class Worker(WorkerThread):
    """A thread of Faust's that keeps nobody from going.

    Whoever stops it waits for it in the loop of the app, which the thread itself may be waiting for: in a rebalance it
    asks the app what to do with its partitions. Each would wait for the other until the process is ended by force.
    """

    within: ClassVar[float] = 2.0  # seconds

    def __init__(self, service: ServiceThread, **kwargs: Any) -> None:  # noqa: ANN401 - Faust's own
        super().__init__(service, **kwargs)
        self.daemon = True

    def stop(self) -> None:
        """Wait for the thread's end, within limits."""
        if not self.is_stopped.wait(self.within):
            log.warning("event=thread-left-behind after=%.1fs", self.within)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, whose fetches wait until there is something worth an answer."""

    Worker = Worker

    def _create_worker_consumer(self, transport: Any) -> Any:  # noqa: ANN401 - Faust's own
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for either; aiokafka reads them when it is started.
        consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = GATHER_BYTES, GATHER_MS
        return consumer


class Consumer(driver.Consumer):
    """The consumer: `quiet` before the seek, and a seek that reaches every partition."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Faust's own
        super().__init__(*args, **kwargs)
        self._idle = asyncio.Event()
        self._idle.set()
        self._sealed = False

    def seal(self) -> None:
        """Commit no more: what was read since is read again by whoever comes next."""
        self._sealed = True

    async def force_commit(self, *args: Any, **kwargs: Any) -> bool:  # noqa: ANN401 - as Faust has it
        """Commit, unless sealed."""
        return not self._sealed and await super().force_commit(*args, **kwargs)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def quiet(self) -> None:
        """Stop the flow and return once nothing is being fetched or handed on; whoever recovers resumes the flow."""
        self.stop_flow()
        try:
            async with asyncio.timeout(IDLE_WITHIN):
                await self._idle.wait()
        except TimeoutError:
            log.warning("event=fetch-not-idle after=%.0fs", IDLE_WITHIN)  # what that costs the watch finds

    async def _drain_messages(self, fetcher: Any) -> None:  # noqa: ANN401 - a service of Faust's
        self._idle.clear()
        try:
            await super()._drain_messages(fetcher)
        finally:
            self._idle.set()

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ANN401 - as Faust has it
        if not self.flow_active:
            self._idle.set()
            await self.wait(cast("Any", self.can_resume_flow))
            self._idle.clear()
        return await super()._wait_next_records(timeout)

    async def seek_to_committed(self) -> Any:  # noqa: ANN401 - as Faust has it
        """Seek each partition to its committed offset, and one that has none to its start; return the offsets."""
        committed = await super().seek_to_committed()
        fresh = [tp for tp, offset in committed.items() if not offset and not self._is_changelog_tp(ensure_TP(tp))]
        if fresh:
            await self._thread.seek_to_beginning(*fresh)
        return committed


def mend(app: faust.App) -> None:
    """Give an app that wasn't started yet the consumer above."""
    cast("Any", app.transport).Consumer = Consumer
    # Sent when the tables are there, before the source partitions are taken up again; Faust waits for its receivers.
    app.on_rebalance_complete.connect(_quieten, weak=False)


def sealed(app: faust.App) -> None:
    """Let a running app commit nothing from now on."""
    cast("Consumer", app.consumer).seal()


async def _quieten(app: Any, /, *_: Any, **__: Any) -> None:  # noqa: ANN401 - as Faust calls it
    await cast("Consumer", app.consumer).quiet()
