"""When dead letters are a fault of ours and no longer of single records. Pure.

A few records that can't be handled go to the dead letters and the rest goes on. Many of them mean that what reads them
is wrong, as after a bad deploy: then the consumer must stop, or it drains its topic into the bin.
"""

from __future__ import annotations

from collections import deque
from typing import Final

RUN: Final = 20  # failures without a success in between
WINDOW: Final = 500  # records that a share is taken of
SHARE: Final = 0.2
LEAST: Final = 50  # failures below which a share says nothing


class Burials:
    """Counts how records end."""

    def __init__(self) -> None:
        self._run = 0
        self._last: deque[bool] = deque(maxlen=WINDOW)

    def handled(self) -> None:
        """A record was handled."""
        self._run = 0
        self._last.append(False)

    def failed(self) -> str | None:
        """A record could not be handled; return why that is too many, None while it isn't."""
        self._run += 1
        self._last.append(True)
        if self._run >= RUN:
            return f"{self._run} records in a row"
        failed = sum(self._last)
        if failed >= LEAST and failed >= SHARE * len(self._last):
            return f"{failed} of the last {len(self._last)} records"
        return None
