"""`python -m tests.house.signals_that_stall`: signals with a fault that forces a standstill, for a test of the watch.

No partition of mail.rejections.v1 is ever taken up again inside Faust; the broker sees a member in good health.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from typing import Any, cast

from schemas.catalog import REJECTIONS
from services.runtime.host import main
from services.signals.app import Counting, Ports
from services.signals.config import SignalsConfig
from services.signals.serve import serve
from services.signals.transport import Consumer


class Deaf(Consumer):
    """Reads all but what the doors refused."""

    def resume_partitions(self, tps: Iterable[Any]) -> None:
        super().resume_partitions({slot for slot in tps if slot.topic != REJECTIONS.name})


class Stalling(Counting):
    """Counts with a consumer that is deaf."""

    def __init__(self, config: SignalsConfig, ports: Ports) -> None:
        super().__init__(config, ports)
        cast("Any", self.app.transport).Consumer = Deaf


if __name__ == "__main__":
    sys.exit(main({"signals": functools.partial(serve, make=Stalling)}))
