"""The dead letters of signals, and the end of the app when they are too many for the records to be at fault.

As in the consume loop: a deploy gone wrong must not drain a topic into the bin. Faust calls a record done whatever an
agent makes of it, so what keeps the records in their place is that from then on nothing is committed.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from schemas.events import DeadLetter
from services.core.burials import Burials
from services.core.clock import Clock

log = logging.getLogger("gatepost.signals")


class Letters:
    """Writes them, and counts how the records of each agent end."""

    def __init__(self, group: str, clock: Clock, seal: Callable[[], None]) -> None:
        """`seal`: see to it that nothing is committed any more."""
        self.given_up = asyncio.Event()
        self.why = ""  # a line for the operator, once given up
        self._group = group
        self._clock = clock
        self._seal = seal
        self._burials: defaultdict[str, Burials] = defaultdict(Burials)

    def handled(self, agent: str) -> None:
        """A record was handled."""
        self._burials[agent].handled()

    def about(self, agent: str, message: Any, reason: str) -> DeadLetter:  # noqa: ANN401 - a message of Faust's
        """Return the letter about a record that can't be handled; give up when it is one too many."""
        where = (message.topic, message.partition, message.offset)
        log.error("event=dead-letter topic=%s partition=%d offset=%d reason=%s", *where, reason)
        many = self._burials[agent].failed()
        if many is not None and not self.given_up.is_set():
            self.why = (
                f"{self._group} could not handle {many}, the last of them at {message.topic}"
                f" {message.partition}/{message.offset}: {reason}; it stopped, and they stay in their topic"
            )
            self._seal()
            self.given_up.set()
        return DeadLetter(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            group=self._group,
            reason=reason,
            value=base64.b64encode(message.value or b"").decode(),
            at=self._clock.now(),
            key=(message.key or b"").decode("utf-8", "replace"),
        )
