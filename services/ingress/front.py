"""What the connections of one process share: the parts they use, the room they have, and who is there."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from typing import Final, Protocol

from schemas.events import Rejection
from services.core import replies
from services.core.clock import Clock
from services.core.directory import DirectoryView
from services.core.replies import Reply
from services.core.waiting import happens
from services.ingress import decide
from services.ingress.accept import Acceptor
from services.ingress.config import IngressConfig
from services.ingress.door import Door, Mx
from services.ingress.guards import Guards
from services.ingress.room import Budget
from services.ingress.visitor import Visitor
from services.runtime import metrics

_HELD: Final = 200  # connections that wait for nothing but to be sent away
_SETTLE: Final = 5.0  # seconds that a transaction which has begun may go on once the door is closing
_LEAVING: Final = 0.1  # of all places, the most that are being given up at one time: who leaves may take its time


class Guest(Protocol):
    """A connection as the front sees it."""

    def end(self, reply: Reply) -> None:
        """Say the reply and close, as soon as no message is being received."""
        ...

    def dismiss(self, reply: Reply) -> None:
        """As `end`, but let a transaction that has begun come to its answer first."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...

    def idle(self) -> float:
        """Return for how many seconds it has waited for the client's next command; 0 while it does anything else."""
        ...


class Rejected(Protocol):
    """Where refusals are told."""

    def note(self, event: Rejection) -> None:
        """Take the event; never waits."""
        ...


class Front:
    """Counts connections and octets; a connection asks it before it takes more."""

    def __init__(
        self,
        config: IngressConfig,
        *,
        directory: DirectoryView,
        acceptor: Acceptor,
        rejections: Rejected,
        clock: Clock,
        tls: ssl.SSLContext | None,
        guards: Guards,
        door: Door | None = None,
    ) -> None:
        """`door` is the MX where none is given."""
        self.config = config
        self.directory = directory
        self.acceptor = acceptor
        self.tls = tls
        self.guards = guards
        self.door: Door = door or Mx(config, directory)
        self._rejections = rejections
        self._clock = clock
        self._guests: dict[Guest, tuple[str, Visitor]] = {}
        self._nameless: set[Guest] = set()
        self._evicted: set[Guest] = set()
        self._by_address: Counter[str] = Counter()
        self.memory = Budget(config.max_bytes_in_flight)
        self.disk = Budget(config.max_spooled)
        self.turns = asyncio.Lock()  # of long messages: as many as there are, one piece of them is decoded at a time
        self._empty = asyncio.Event()
        self._empty.set()
        self._ending: Reply | None = None

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._clock.now()

    def expect(self, guest: Guest) -> None:
        """Remember, until `enter` or `leave`, a connection whose balancer has yet to say whose it is."""
        self._nameless.add(guest)
        self._empty.clear()

    def holds(self) -> bool:
        """Return whether one more that isn't let in may be kept waiting."""
        return len(self._nameless) < _HELD

    def enter(self, guest: Guest, client: decide.Client) -> Visitor | decide.Refusal:
        """Let a connection in, and remember it until `leave`; or return why not."""
        self._nameless.discard(guest)
        if len(self._guests) - len(self._evicted) >= self.config.max_connections:
            self._make_room()
        taken = len(self._guests) - len(self._evicted)
        refusal = decide.connection(taken, self._by_address[client.ip], self.config)
        refusal = refusal or self.guards.arrives(client.ip)
        if refusal is not None:
            self.refused(refusal, client)
            self._left()
            return refusal
        visitor = self.guards.visitor(client.ip)
        self._guests[guest] = (client.ip, visitor)
        self._by_address[client.ip] += 1
        self._empty.clear()
        if self._ending is not None:
            guest.end(self._ending)
        return visitor

    def _make_room(self) -> None:
        """Send away who has been idle for longest: when all places are taken, nobody holds one for nothing."""
        if len(self._evicted) >= max(1, self.config.max_connections * _LEAVING):
            return
        waiting = [(guest.idle(), ip, guest) for guest, (ip, _) in self._guests.items() if guest not in self._evicted]
        seconds, ip, guest = max(waiting, key=lambda each: each[0], default=(0.0, "", None))
        if guest is not None and seconds >= self.config.idle_when_full:
            self._evicted.add(guest)
            guest.end(replies.TOO_SLOW)
            self.refused(decide.Refusal(replies.TOO_SLOW, "idle-when-full"), decide.Client(ip))

    def leave(self, guest: Guest) -> None:
        """Forget a connection; one that never entered is fine."""
        self._nameless.discard(guest)
        self._evicted.discard(guest)
        known = self._guests.pop(guest, None)
        if known is not None:
            address, visitor = known
            visitor.leave()
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
        self._left()

    def _left(self) -> None:
        if not self._guests and not self._nameless:
            self._empty.set()

    def refused(
        self, refusal: decide.Refusal, client: decide.Client, *, reverse_path: str = "", recipient: str = ""
    ) -> None:
        """Tell of a refusal that has a reason."""
        if refusal.reason:
            metrics.REFUSALS.labels(refusal.reason).inc()
            now = self._clock.now()
            self._rejections.note(
                decide.rejection(refusal, client, now, reverse_path=reverse_path, recipient=recipient)
            )

    async def close(self, reply: Reply, within: float) -> None:
        """Send everybody away: at once who has no transaction, the others after theirs; all after `within` seconds."""
        self._ending = reply
        for guest in tuple(self._nameless):
            guest.abort()
        for guest in tuple(self._guests):
            guest.dismiss(reply)
        settle = min(_SETTLE, within / 2)
        if await happens(self._empty, settle):
            return
        for guest in tuple(self._guests):  # between MAIL and DATA nothing is ours yet: 421 costs the client little
            guest.end(reply)
        if not await happens(self._empty, within - settle):
            for guest in tuple(self._guests):
                guest.abort()
