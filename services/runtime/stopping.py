"""What SIGTERM does: unready, a pause in which nobody new is sent here, the stop, and an end in any case."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from typing import Final

from services.runtime.health import Health

log = logging.getLogger("gatepost.host")

END_WITHIN: Final = 30.0  # seconds; what is under way when a stop takes longer is done again by whoever owns it next


class Stopping:
    """Turns the signal into `stop`."""

    def __init__(
        self,
        stop: asyncio.Event,
        health: Health,
        hurry: Callable[[], None],
        drain: float,
        force: Callable[[], None] | None = None,
    ) -> None:
        """`drain`: seconds between unready and `stop`, for balancers that ask and don't hear; `hurry` goes with it.

        `force` ends a process that is still there END_WITHIN seconds after that.
        """
        self._stop = stop
        self._health = health
        self._hurry = hurry
        self._drain = drain
        self._force = force
        self._due: asyncio.TimerHandle | None = None

    def told(self) -> None:
        """Begin; told a second time, pause no longer."""
        if self._stop.is_set():
            return
        self._health.waits("process", "stopping")
        if self._due is None and self._drain:
            log.info("event=unready stop_in=%.1fs", self._drain)
            self._due = asyncio.get_running_loop().call_later(self._drain, self._begin)
            return
        self._begin()

    def _begin(self) -> None:
        if self._stop.is_set():
            return
        self._stop.set()
        self._hurry()
        end_within(END_WITHIN, self._force)


def end_within(seconds: float, force: Callable[[], None] | None = None) -> threading.Timer:
    """End the process with code 1 after so many seconds, whatever blocks its loop; unless the timer is cancelled.

    `force` is what is done instead.
    """

    def leave() -> None:
        log.error("event=exit-forced after=%.0fs", seconds)
        os._exit(1)

    last = threading.Timer(seconds, force or leave)
    last.daemon = True
    last.start()
    return last
