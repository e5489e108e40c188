"""The directory service: syncs each source of each customer when it is due, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

from schemas.events import Customer, DirectoryState, LdapSource
from services.core.clock import Clock
from services.core.directory import LDAP
from services.core.errors import BusUnavailable
from services.directory.config import DirectoryConfig
from services.directory.decide import due_at
from services.directory.port import Reader
from services.directory.sync import Sync, states
from services.runtime.bus import Bus

log = logging.getLogger("gatepost.directory")


class Schedule:
    """Runs until told to stop. Its state is in the topic: a sync from the command line counts as one of its own."""

    def __init__(
        self,
        config: DirectoryConfig,
        bus: Bus,
        reader: Reader,
        clock: Clock,
        customers: Callable[[], Iterable[Customer]],
    ) -> None:
        self._config = config
        self._bus = bus
        self._clock = clock
        self._customers = customers
        self._sync = Sync(bus, reader, clock)
        self._states: dict[str, DirectoryState] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Sync what is due until `stop`; a sync that is under way then is given up, and changes nothing more."""
        running: asyncio.Task[None] = asyncio.create_task(self._run(), name="directory-schedule")
        stopping = asyncio.create_task(stop.wait(), name="directory-stop")
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not running.done():
            running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    async def _run(self) -> None:
        while True:
            try:
                await self.once()
            except BusUnavailable as error:
                log.warning("event=directory-waits-for-broker error=%s", error)
            await asyncio.sleep(self._config.directory_tick_seconds)

    async def once(self) -> int:
        """Sync every source that is due, and return how many were; raise BusUnavailable when the broker is away."""
        due = self._due()
        if not due:
            return 0
        self._states = await states(self._bus)
        count = 0
        for customer, source in self._due():
            key = f"{customer.id}/{LDAP}{source.name}"
            self._states[key] = await self._sync.ldap(customer, source, self._states.get(key))
            count += 1
        return count

    def _due(self) -> list[tuple[Customer, LdapSource]]:
        now, retry = self._clock.now(), self._config.directory_retry_seconds
        return [
            (customer, source)
            for customer in self._customers()
            for source in customer.directory
            if now >= due_at(self._states.get(f"{customer.id}/{LDAP}{source.name}"), source, retry)
        ]
