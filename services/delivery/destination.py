"""One destination, which is a customer's set of hosts: is it up, how many may talk to it, who waits for it.

`Health` is the pure state machine; `Gate` is the bounded number of connections; `Destination` holds both and the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import deque
from typing import Final

from schemas.events import QueueCommand
from services.core.backoff import delay
from services.delivery.line import Line, Walk

SICK: Final = 3  # messages in a row that a destination put off: its next success lets the others come at once
RAISE: Final = 0.1  # of a connection, by which each success moves a limit up that trouble lowered
AFRESH: Final = 2  # connections at first to one that just came back: what it does with these decides on the next


@dataclasses.dataclass(frozen=True, slots=True)
class Probing:
    """How often a destination that is down is tried; seconds."""

    first: float
    most: float


class Health:
    """Up or down. While it is down, one message at a time goes out to see, at growing intervals."""

    def __init__(self, probing: Probing) -> None:
        self._pace = probing
        self._probes = 0
        self._put_off = 0
        self._probe: object | None = None
        self.down = False
        self.probe_at = 0.0  # seconds since the epoch; only while down

    @property
    def sick(self) -> bool:
        """Whether it answers and takes nothing."""
        return self._put_off >= SICK

    def admits(self, now: float) -> bool:
        """Return whether an attempt may begin now."""
        return not self.down or (self._probe is None and now >= self.probe_at)

    def next_probe(self) -> float | None:
        """Return when the next look is due; None while it is up, or while somebody looks."""
        return self.probe_at if self.down and self._probe is None else None

    def suspect(self, now: float) -> None:
        """Let one attempt find out first whether it is up: mail waits for it from before this process began."""
        if not self.down:
            self.down, self.probe_at = True, now

    def begin(self, attempt: object) -> None:
        """Note that the attempt goes out."""
        if self.down and self._probe is None:
            self._probe = attempt

    def abandon(self, attempt: object) -> None:
        """Note that the attempt ended without telling anything."""
        if self._probe is attempt:
            self._probe = None

    def unreachable(self, attempt: object, now: float, chance: float) -> None:
        """Note that no host took up the message. Attempts that were already on their way count as one failure."""
        if self.down and self._probe is not attempt:
            return
        self._probe = None
        self._probes = self._probes + 1 if self.down else 1
        self.down = True
        self.probe_at = now + delay(self._probes, chance, first=self._pace.first, most=self._pace.most)

    def answered(self, *, delivered: bool, put_off: bool) -> bool:
        """Note that a host dealt with a message. True: what waits may come at once."""
        was_down, was_sick = self.down, self._put_off >= SICK
        self.down, self._probe, self._probes = False, None, 0
        if delivered:
            self._put_off = 0
        elif put_off:
            self._put_off += 1
        return was_down or (delivered and was_sick)


class Gate:
    """So many at a time, first come, first served.

    The limit begins at `first`, and each success raises it by one, up to `most`; so it doubles with each round. It
    sinks on trouble, and from then on grows carefully.
    """

    def __init__(self, most: int, first: int | None = None) -> None:
        self._most = most
        self._limit = float(min(most, first or most))
        self._calm = float(most)  # up to here it grows fast
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """How many may be inside."""
        return int(self._limit)

    @property
    def inside(self) -> int:
        """How many are inside."""
        return self._inside

    @property
    def waiting(self) -> int:
        """How many stand outside."""
        return len(self._waiting)

    async def enter(self) -> None:
        """Return when there is a place; `leave` gives it back."""
        if self._inside < self.limit and not self._waiting:
            self._inside += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            else:
                with contextlib.suppress(ValueError):  # `leave` may have passed over it already
                    self._waiting.remove(place)
            raise

    def leave(self) -> None:
        """Give the place to the next one."""
        self._inside -= 1
        self._let_in()

    def lower(self, to: int) -> None:
        """Let no more in than the destination was seen to bear."""
        self._limit = self._calm = float(max(1, min(to, self.limit)))

    def succeed(self) -> None:
        """Raise the limit."""
        self._limit = min(float(self._most), self._limit + (1.0 if self._limit < self._calm else RAISE))
        self._let_in()

    def afresh(self) -> None:
        """Begin small, for a destination that was away: it grows fast again."""
        self._limit, self._calm = float(min(self._most, AFRESH)), float(self._most)

    @property
    def lowered(self) -> bool:
        """Whether trouble lowered the limit, and it has not recovered."""
        return self._calm < self._most and self._limit < self._most

    def _let_in(self) -> None:
        while self._waiting and self._inside < self.limit:
            place = self._waiting.popleft()
            if not place.done():
                self._inside += 1
                place.set_result(None)


class Destination:
    """What delivery knows of a set of hosts."""

    def __init__(self, number: int, customer: str, where: str, gate: Gate, health: Health) -> None:
        self.number = number
        self.customer = customer
        self.where = where  # host:port,…
        self.health = health
        self.gate = gate
        self.waiting = Line()  # every key that waits for it, in the order of arrival
        self.fresh = 0  # first attempts that the consume loop waits for
        self.running = 0  # of those that wait, how many are being tried
        self.talking = 0  # attempts that have a session
        self.held: QueueCommand | None = None
        self.reply = ""  # the last answer
        self.replied_at = 0.0
        self._flushed: Walk = self.waiting.walk()  # who may be tried now: first these
        self._ready: deque[str] = deque()  # then these
        self._probes = 0

    @property
    def name(self) -> str:
        """Customer and hosts, for the log."""
        return f"{self.customer}/{self.where}"

    @property
    def state(self) -> str:
        """`down`: nobody answers; `slow`: it takes nothing, or less than it did; else `open`."""
        if self.health.down:
            return "down"
        return "slow" if self.health.sick or self.gate.lowered else "open"

    @property
    def closed(self) -> bool:
        """Whether what waits may not be tried, but for a probe."""
        return self.health.down or self.held is not None

    @property
    def crowded(self) -> bool:
        """Whether others stand in line already: who comes goes behind them."""
        return bool(self._flushed or self._ready)

    def let(self, key: str) -> None:
        """Let the key be tried as soon as there is a place."""
        self._ready.append(key)

    def flush(self) -> None:
        """Let everything that waits be tried now, oldest first."""
        self._flushed = self.waiting.walk()
        self._ready.clear()

    def next_ready(self) -> str | None:
        """Take out and return the next key to try."""
        for key in self._flushed:
            return key
        while self._ready:
            key = self._ready.popleft()
            if key in self.waiting:
                return key
        return None

    def next_probe(self) -> str | None:
        """Return a waiting key to see with whether it is up: each in its turn, as one message may be what breaks it."""
        if not self.waiting:
            return None
        self._probes += 1
        return self.waiting.nth((self._probes - 1) % len(self.waiting))

    @property
    def oldest(self) -> str | None:
        """Return the key that came first."""
        return self.waiting.oldest

    @property
    def unused(self) -> bool:
        """Whether it may be forgotten: nothing waits, and nothing is known that a first attempt wouldn't show."""
        busy = self.waiting or self.running or self.fresh or self.gate.inside
        return not (busy or self.health.down or self.held is not None)
