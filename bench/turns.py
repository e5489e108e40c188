"""The delivery service with somebody who watches its loop: how long others wait for their turn, in CPU time.

    BENCH_TURNS=FILE python -m bench.turns

Started by other benches. FILE gets a line for each turn over 10 ms: seconds since the start, and seconds of CPU.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from services.core.waiting import happens
from services.delivery.serve import serve
from services.runtime.host import Context, main

LONG = 0.010  # seconds
LOOK = 0.001  # seconds


class Watched:
    """The unit and the watch beside it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._began = time.monotonic()

    async def watch(self, ctx: Context) -> None:
        """Look until `ctx.stop`. CPU time of this thread: what others on the machine do doesn't count."""
        ctx.ready("turns")
        with self._file.open("w", buffering=1) as out:
            before = time.thread_time()
            while not await happens(ctx.stop, LOOK):
                now = time.thread_time()
                if now - before > LONG:
                    out.write(f"{time.monotonic() - self._began:.2f} {now - before:.4f}\n")
                before = time.thread_time()


if __name__ == "__main__":
    sys.exit(main({"delivery": serve, "turns": Watched(Path(os.environ["BENCH_TURNS"])).watch}))
