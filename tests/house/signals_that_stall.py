"""`python -m tests.house.signals_that_stall`: signals with a fault that forces a standstill, for a test of the watch.

Every partition of mail.rejections.v1 is paused inside Faust as soon as it is taken up; the broker sees a member in good
health.
"""

from __future__ import annotations

import functools
import sys

from schemas.catalog import REJECTIONS
from services.runtime.host import main
from services.signals.app import Counting, Ports
from services.signals.config import SignalsConfig
from services.signals.serve import serve


class Stalling(Counting):
    """Counts all but what the doors refused."""

    def __init__(self, config: SignalsConfig, ports: Ports) -> None:
        super().__init__(config, ports)
        self.app.timer(0.05)(self._pause)

    async def _pause(self) -> None:
        consumer = self.app.consumer
        consumer.pause_partitions({slot for slot in consumer.assignment() if slot.topic == REJECTIONS.name})


if __name__ == "__main__":
    sys.exit(main({"signals": functools.partial(serve, make=Stalling)}))
