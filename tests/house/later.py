"""The time of day as a whole Gatepost has it, moved while it runs: by libfaketime (Debian's package), from outside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.parts import lacking

LIBRARY: Final = "faketime/libfaketimeMT.so.1"
BROKER: Final = {"log.message.timestamp.after.max.ms": str(100 * 365 * 86_400_000)}  # its clock is the machine's


class Later:
    """Says by how many days the processes that have `environ` are ahead. Time that only runs on is not touched."""

    def __init__(self, file: Path) -> None:
        found = sorted(Path("/usr/lib").glob(f"*/{LIBRARY}"))
        if not found:
            lacking("no libfaketime on this machine")
        self._file = file
        self.days = 0.0
        self.move(0)
        self.environ: Mapping[str, str] = {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",  # seconds until a change is seen
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",  # files are as old as they are
        }

    def move(self, days: float) -> None:
        """Go on by so many days."""
        self.days += days
        new = self._file.with_suffix(".new")
        new.write_text(f"+{self.days * 86_400:.0f}s\n")
        new.replace(self._file)
