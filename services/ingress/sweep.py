"""Objects of messages that were not accepted are deleted again, as soon as the store lets us."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from services.core.errors import GatepostError
from services.runtime.store import Store

log = logging.getLogger("gatepost.ingress")

_KEYS: Final = 20_000  # that wait at once; each is some 60 octets of a store that is down
_FIRST_WAIT: Final = 0.2  # seconds between two tries, doubled up to the longest
_LONGEST_WAIT: Final = 30.0
_LATE_PUT: Final = 120.0  # seconds; a store answers long before
_LAST_WORDS: Final = 3.0  # seconds for what is left when the service stops


class Sweeper:
    """Deletes keys until they are deleted. What it can't delete before the end is named in the log."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: dict[str, None] = {}  # in the order of their failure
        self._some = asyncio.Event()
        self._late: set[asyncio.Task[None]] = set()
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep."""
        self.task = asyncio.create_task(self._run(), name="ingress-sweeper")

    def sweep(self, keys: Sequence[str], puts: Sequence[asyncio.Task[None]]) -> None:
        """Delete the keys once their puts have come to an end, in whatever way: a late put would bring them back."""
        task = asyncio.create_task(self._after(keys, puts))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def close(self) -> None:
        """Try once more for what is left."""
        if self._late:
            await asyncio.wait(self._late, timeout=_LAST_WORDS)
        for late in tuple(self._late):
            late.cancel()
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task, *self._late])
        try:
            async with asyncio.timeout(_LAST_WORDS):
                await self._round()
        except (GatepostError, TimeoutError):
            log.error("not swept keys=%s", ",".join(self._keys))

    async def _after(self, keys: Sequence[str], puts: Sequence[asyncio.Task[None]]) -> None:
        done, pending = await asyncio.wait(puts, timeout=_LATE_PUT)
        for put in pending:
            put.cancel()
        for put in done:
            if not put.cancelled() and (error := put.exception()) is not None:
                log.info("put failed error=%s reason=%s", type(error).__name__, error)
        for key in keys:
            if len(self._keys) >= _KEYS:
                oldest = next(iter(self._keys))
                del self._keys[oldest]
                log.error("not swept keys=%s", oldest)
            self._keys[key] = None
        self._some.set()

    async def _run(self) -> None:
        wait = _FIRST_WAIT
        while True:
            await self._some.wait()
            try:
                await self._round()
            except GatepostError as error:
                log.warning("sweep waits keys=%d error=%s", len(self._keys), type(error).__name__)
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
            else:
                wait = _FIRST_WAIT

    async def _round(self) -> None:
        """Delete every key; raise the store's error at the first that can't be."""
        self._some.clear()
        try:
            for key in tuple(self._keys):
                await self._store.delete(key)
                self._keys.pop(key, None)
        finally:
            if self._keys:
                self._some.set()
