"""The worker processes of this service: fresh interpreters, one message always to the same one of them."""

from __future__ import annotations

import asyncio
import itertools
import zlib

from schemas.events import Received
from services.core.errors import ObjectNotFound, StoreUnavailable
from services.scanners import decide
from services.scanners.config import ScannersConfig
from services.scanners.contract import Finding, Reason, Spec, unavailable
from services.scanners.frames import Failed, Scan, Setup
from services.scanners.registry import CHECKS, choose
from services.scanners.slot import Job, Slot


class Pool:
    """Runs scanners in workers. A message's scanners share a worker, so that it is fetched and parsed once."""

    def __init__(
        self, config: ScannersConfig, names: tuple[str, ...] = (), package: str = CHECKS, *, patience: float = 1.0
    ) -> None:
        """`names`: the scanners, all when there is none; raise ConfigError for one that there isn't.

        `patience`: by which every time-out is longer, where the process is held up on purpose.
        """
        self.specs: dict[str, Spec] = {name: item.SPEC for name, item in choose(names, package).items()}
        self._grace = config.scanner_grace
        self._patience = patience
        self._numbers = itertools.count(1)
        setup = Setup(config, tuple(self.specs), package, strict=True, patience=patience)
        self._slots = [Slot(setup, config.scanner_in_flight, config.scanner_wait) for _ in range(config.workers)]

    @property
    def pids(self) -> list[int | None]:
        """Return the process id of each place's worker, None where one is being replaced."""
        return [slot.pid for slot in self._slots]

    async def start(self) -> None:
        """Start all workers; raise ConfigError or StartError, and leave none behind, when one can't be had."""
        outcomes = await asyncio.gather(*(slot.start() for slot in self._slots), return_exceptions=True)
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failed:
            await self.close()
            raise failed[0]

    async def close(self) -> None:
        """End all workers."""
        await asyncio.gather(*(slot.close() for slot in self._slots))

    async def scan(self, scanner: str, received: Received, briefing: bytes = b"") -> Finding:
        """Return the finding of one scanner on one message, under an encoded briefing (`briefing.Briefings`).

        Raises ObjectNotFound when the message is gone, and what is temporary as such: StoreUnavailable, and
        EngineUnavailable when no worker could take it.
        """
        spec = self.specs[scanner]
        refused = decide.too_big(spec, received.size)
        if refused is not None:
            return refused
        slot = self._slots[zlib.crc32(received.id.encode()) % len(self._slots)]
        scan = Scan(next(self._numbers), scanner, received.id, received.key, briefing)
        job = Job(scan, (spec.timeout + self._grace) * self._patience, asyncio.get_running_loop().create_future())
        answer = await slot.run(job)
        return _finding(answer, received) if isinstance(answer, Failed) else answer


def _finding(failed: Failed, received: Received) -> Finding:
    match failed.kind:
        case "gone":
            raise ObjectNotFound(received.key)
        case "unavailable":
            raise StoreUnavailable(failed.text)
        case "corrupt":
            return unavailable(Reason.STORE, failed.text)
        case _:
            return unavailable(Reason.CRASH, f"the scanner failed: {failed.text}")
