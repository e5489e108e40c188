"""What stands between a client and the conversation: limits, lists, reputation, greylist, and what was signalled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from schemas.catalog import GREYLIST
from schemas.events import Event, Greylisted
from services.core import replies
from services.core.clock import Clock
from services.core.directory import DirectoryView
from services.core.networks import Networks, networks, normal
from services.core.signals import Signals
from services.ingress import decide
from services.ingress.config import IngressConfig
from services.ingress.greylist import Greylist
from services.ingress.harvest import Harvest
from services.ingress.limits import Limits
from services.ingress.pregreet import Records
from services.ingress.reputation import Facts, on_file, parse_lists
from services.ingress.reputation_files import NetworkFile, keep_fresh
from services.ingress.reputation_lookup import Lookup
from services.ingress.visitor import Visitor
from services.runtime.bus import Bus, Tombstone
from services.runtime.dns import Dns

log = logging.getLogger("gatepost.ingress")

_SWEEP_EVERY: Final = 60.0  # seconds
_ANYWHERE: Final = Networks(("0.0.0.0/0", "::/0"))  # what is an address at all


class Guards:
    """One for the process; a Visitor for each connection."""

    def __init__(
        self,
        config: IngressConfig,
        *,
        dns: Dns,
        directory: DirectoryView,
        signals: Signals,
        clock: Clock,
        publish: Callable[[Event | Tombstone], None],
    ) -> None:
        """Raise ConfigError for a DNS list that isn't `zone=weight`."""
        self.config = config
        self.directory = directory
        self.signals = signals
        self.clock = clock
        self.limits = Limits(config)
        self.harvest = Harvest(config, signals)
        self.records = Records()
        self.greylist = Greylist(config.greylist_delay, publish) if config.greylist_delay else None
        self.block = NetworkFile("GATEPOST_INGRESS_BLOCK_FILE", config.block_file)
        self.allow = NetworkFile("GATEPOST_INGRESS_ALLOW_FILE", config.allow_file)
        self.proxies = networks(tuple(normal(each) for each in config.proxy_from))
        self._exempt = networks(tuple(normal(each) for each in config.exempt))
        lists = parse_lists(config.dnsbl)
        self._lookup = Lookup(dns, lists, reverse=config.reverse_dns, within=config.reputation_timeout)
        self._asking: set[asyncio.Task[Facts]] = set()
        self._keeping: list[asyncio.Task[None]] = []

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What runs for as long as the process, and ends it when it fails."""
        return self._keeping

    async def start(self, bus: Bus) -> None:
        """Read the files and begin to keep up with what changes; raise ConfigError for a file that can't be used."""
        await self.block.load()
        await self.allow.load()
        self._keeping.append(asyncio.create_task(keep_fresh([self.block, self.allow]), name="ingress-lists"))
        if self.greylist is not None:
            self._keeping.append(asyncio.create_task(self._follow(bus, self.greylist), name="ingress-greylist"))
            self._keeping.append(asyncio.create_task(self._sweep(self.greylist), name="ingress-greylist-sweep"))

    async def close(self) -> None:
        """End what is under way."""
        tasks = [*self._keeping, *self._asking]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def trusted(self, ip: str) -> bool:
        """Return whether the operator has said that the client is fine."""
        return ip in self._exempt or ip in self.allow.networks

    def arrives(self, ip: str) -> decide.Refusal | None:
        """Return why a client isn't let in; one that a customer allows is, for what it has for that customer."""
        if self.trusted(ip):
            return None
        if ip in self.block.networks and not self.directory.allows(ip):
            return self.blocked(ip)
        return self.limits.connection(ip, self.clock.monotonic())

    def visitor(self, ip: str) -> Visitor:
        """Let the client in."""
        self.limits.entered(ip)
        return Visitor(self, ip)

    def blocked(self, ip: str, customer: str = "") -> decide.Refusal:
        """Return the refusal of who is on the operator's own list."""
        evidence = on_file("FRONT_BLOCKED", ip, self.block.networks, "GATEPOST_INGRESS_BLOCK_FILE")
        return decide.Refusal(replies.refused("list", self.config.contact), "blocked", customer, evidence)

    def ask(self, ip: str) -> asyncio.Task[Facts] | None:
        """Begin to ask about the client; None when there is nothing to ask."""
        if not self._lookup or ip not in _ANYWHERE:
            return None
        task = asyncio.create_task(self._lookup.facts(ip), name=f"reputation-{ip}")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return task

    async def _follow(self, bus: Bus, greylist: Greylist) -> None:
        async for record in bus.follow(GREYLIST, asyncio.Event()):
            if isinstance(record.event, Greylisted):
                greylist.apply(record.event)
            elif record.event is None:
                greylist.remove(record.key)

    async def _sweep(self, greylist: Greylist) -> None:
        while True:
            await asyncio.sleep(_SWEEP_EVERY)
            if swept := greylist.sweep(self.clock.now()):
                log.info("event=greylist-swept entries=%d left=%d", swept, len(greylist))
