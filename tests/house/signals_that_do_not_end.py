"""`python -m tests.house.signals_that_do_not_end`: signals whose Faust ignores a stop and every cancellation of it.

So it is in the midst of a rebalance, now and then: each of its services catches what cuts the one before it short.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from typing import Any, cast

from services.runtime.host import main
from services.signals.app import Counting, Ports
from services.signals.config import SignalsConfig
from services.signals.serve import serve
from services.signals.transport import Consumer


class Stubborn(Consumer):
    """Never comes to its end."""

    async def stop(self) -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


class Endless(Counting):
    """Counts with such a consumer."""

    def __init__(self, config: SignalsConfig, ports: Ports) -> None:
        super().__init__(config, ports)
        cast("Any", self.app.transport).Consumer = Stubborn


if __name__ == "__main__":
    sys.exit(main({"signals": functools.partial(serve, make=Endless)}))
