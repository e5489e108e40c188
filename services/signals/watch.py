"""Finds the partition that is not read though something lies in it, and ends the app for it.

The app is started again by whoever supervises it, and goes on at what it committed. Seen from outside, by a client of
its own: the app's own view is what can't be trusted then.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from services.core.clock import Clock
from services.core.errors import BusUnavailable, StartError
from services.runtime.lag import Reach
from services.runtime.metrics import SIGNALS_BEHIND, SIGNALS_STANDSTILL
from services.runtime.source import Slot

log = logging.getLogger("gatepost.signals")

EVERY: Final = 5.0  # seconds between two looks


class Standstill:
    """Since when each partition that has records waiting has made no progress. Pure: it is fed, and answers."""

    def __init__(self) -> None:
        self._since: dict[Slot, tuple[int, float]] = {}

    def seen(self, reaches: Mapping[Slot, Reach], now: float) -> dict[Slot, float]:
        """Take in where the group stands and return, for each partition that is behind, its seconds without progress.

        A partition that isn't named is forgotten: it is somebody else's now, and begins anew when it comes back.
        """
        since = {}
        for slot, reach in reaches.items():
            if reach.next >= reach.end:
                continue
            before = self._since.get(slot)
            since[slot] = before if before is not None and before[0] == reach.next else (reach.next, now)
        self._since = since
        return {slot: now - start for slot, (_, start) in since.items()}

    def forget(self) -> None:
        """Begin anew: in the time that could not be looked at, nothing can be said of progress."""
        self._since = {}


class Watched(Protocol):
    """What is watched."""

    def slots(self) -> frozenset[Slot]:
        """Return the partitions that are its own at present."""
        ...

    def held_up(self) -> bool:
        """Return whether it waits for the broker, or for its tables: then a standstill is no fault of its."""
        ...


async def watch(
    watched: Watched,
    read: Callable[[frozenset[Slot]], Awaitable[Mapping[Slot, Reach]]],
    clock: Clock,
    pause: Callable[[float], Awaitable[None]],
    patience: float,
) -> None:
    """Look every few seconds, for ever; raise StartError when a partition stood still for `patience` seconds.

    A broker that is away is waited for, however long: another start would not bring it back.
    """
    standstill = Standstill()
    while True:
        await pause(EVERY)
        try:
            reaches = await read(watched.slots())
        except BusUnavailable as error:
            log.warning("event=progress-unknown error=%s", error)
            standstill.forget()
            continue
        if watched.held_up():
            standstill.forget()
            continue
        stood = standstill.seen(reaches, clock.monotonic())
        SIGNALS_BEHIND.set(sum(max(0, reach.end - reach.next) for reach in reaches.values()))
        SIGNALS_STANDSTILL.set(max(stood.values(), default=0.0))
        over = sorted(slot for slot, seconds in stood.items() if seconds >= patience)
        for topic, partition in over:
            reach = reaches[topic, partition]
            log.error(
                "event=standstill topic=%s partition=%d next=%d end=%d seconds=%.0f",
                topic,
                partition,
                reach.next,
                reach.end,
                stood[topic, partition],
            )
        if over:
            topic, partition = over[0]
            raise StartError(f"signals: partition {partition} of {topic} is not read on; the app must be started again")
