"""Connections that are kept for the next message, per customer and host."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from schemas.events import Host
from services.core.backoff import delay
from services.core.clock import Clock
from services.delivery.config import DeliveryConfig
from services.delivery.dial import Dial, Unreachable
from services.delivery.hops import Hop
from services.delivery.session import Session

log = logging.getLogger("gatepost.delivery")

SHUN_FIRST: Final = 1.0  # seconds in which the customer's other hosts come before one that was not reachable
SHUN_MOST: Final = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """One host as one customer's mail reaches it: customers share no connection, nor do two demands or two pools."""

    customer: str
    host: str
    port: int
    demands: str = ""

    @classmethod
    def of(cls, customer: str, host: Host) -> Site:
        """Return the site of a host."""
        via, sources = (host.via, host.sources) if isinstance(host, Hop) else ("", ())
        return cls(customer, host.host, host.port, " ".join((host.tls, host.ca_file, via, *sources)).strip())

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclasses.dataclass(slots=True)
class Lease:
    """A session in use."""

    site: Site
    session: Session
    reused: bool
    born: float
    messages: int = 0
    idle_since: float = 0.0


class Pool:
    """Sessions by site. A session is used by one message at a time, and for so many messages at most."""

    def __init__(self, config: DeliveryConfig, dial: Dial, clock: Clock, chance: Callable[[], float]) -> None:
        self._config = config
        self._dial = dial
        self._clock = clock
        self._chance = chance
        self._idle: dict[Site, list[Lease]] = defaultdict(list)
        self._in_use: Counter[Site] = Counter()
        self._failures: Counter[Site] = Counter()
        self._shunned: dict[Site, float] = {}
        self._farewells: set[asyncio.Task[None]] = set()

    def order(self, customer: str, hosts: Sequence[Host]) -> list[Host]:
        """Return the hosts in the order to try: preference, equals at random, those lately unreachable last."""
        now = self._clock.monotonic()

        def rank(host: Host) -> tuple[bool, int, float]:
            shunned = self._shunned.get(Site.of(customer, host), 0.0) > now
            return shunned, host.preference, self._chance()

        return sorted(hosts, key=rank)

    async def take(self, customer: str, host: Host) -> Lease:
        """Return a session that is ready for MAIL, an idle one where there is one; raise Unreachable."""
        site = Site.of(customer, host)
        while (lease := self._pop(site)) is not None:
            self._in_use[site] += 1
            alive = False
            try:
                alive = await lease.session.reset()
            finally:
                if not alive:
                    self.drop(lease)
            if alive:
                return lease
        return await self.connect(customer, host)

    async def connect(self, customer: str, host: Host) -> Lease:
        """Return a session of its own; raise Unreachable."""
        site = Site.of(customer, host)
        try:
            session = await self._dial(host)
        except Unreachable:
            self._failures[site] += 1
            wait = delay(self._failures[site], self._chance(), first=SHUN_FIRST, most=SHUN_MOST)
            self._shunned[site] = self._clock.monotonic() + wait
            raise
        self._failures.pop(site, None)
        self._shunned.pop(site, None)
        self._in_use[site] += 1
        return Lease(site, session, reused=False, born=self._clock.monotonic())

    def give(self, lease: Lease) -> None:
        """Take the session back for the next message."""
        self._release(lease)
        lease.messages += 1
        age = self._clock.monotonic() - lease.born
        if lease.messages >= self._config.relay_messages_per_connection or age >= self._config.relay_age_seconds:
            self._part(lease)
            return
        lease.reused = True
        lease.idle_since = self._clock.monotonic()
        self._idle[lease.site].append(lease)

    def drop(self, lease: Lease) -> None:
        """Close a session that is of no use any more."""
        self._release(lease)
        lease.session.close()

    def sweep(self) -> None:
        """Part with sessions that were idle for too long, and forget hosts that nobody asks for."""
        now = self._clock.monotonic()
        for site, leases in list(self._idle.items()):
            old = [lease for lease in leases if now - lease.idle_since > self._config.relay_idle_seconds]
            self._idle[site] = [lease for lease in leases if lease not in old]
            for lease in old:
                self._part(lease)
            if not self._idle[site]:
                del self._idle[site]
        for site in [site for site, until in self._shunned.items() if now - until > SHUN_MOST]:
            del self._shunned[site]
            self._failures.pop(site, None)

    async def close(self) -> None:
        """Part with every idle session and wait for the farewells; each has its own deadline."""
        for leases in self._idle.values():
            for lease in leases:
                self._part(lease)
        self._idle.clear()
        if self._farewells:
            await asyncio.wait(self._farewells)

    def _pop(self, site: Site) -> Lease | None:
        leases = self._idle.get(site)
        now = self._clock.monotonic()
        while leases:
            lease = leases.pop()
            if now - lease.idle_since <= self._config.relay_idle_seconds:
                return lease
            self._part(lease)
        return None

    def _release(self, lease: Lease) -> None:
        self._in_use[lease.site] -= 1
        if self._in_use[lease.site] <= 0:
            del self._in_use[lease.site]

    def _part(self, lease: Lease) -> None:
        task = asyncio.create_task(lease.session.quit(), name=f"quit-{lease.site}")
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)
