"""CPU and findings of some checks over folders of messages, without DNS.

python -m bench.checks urls,impersonation FOLDER...
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

from services.scanners.registry import choose
from tests.mails import context, mail


async def measure(names: tuple[str, ...], folder: Path, paths: list[Path]) -> str:
    """Return one line: how many messages were flagged, and the CPU that the checks took for each."""
    scanners, ctx = choose(names), context()
    worst: Counter[str] = Counter()
    spent: list[float] = []
    for path in paths:
        message = mail(path.read_bytes(), client_ip="")
        _ = (message.fields, message.text, message.html)  # every scanner shares these
        started = time.process_time()
        statuses = [(await scanner.scan(message, ctx)).status.value for scanner in scanners.values()]
        spent.append((time.process_time() - started) * 1000)
        worst[next((status for status in statuses if status != "clean"), "clean")] += 1
    flagged = sum(worst.values()) - worst["clean"]
    found = ", ".join(f"{status} {count}" for status, count in sorted(worst.items()))
    spent.sort()
    return (
        f"{folder}: {len(spent)} messages, {flagged} flagged ({found});"
        f" CPU ms median {statistics.median(spent):.2f}, 99 % {spent[int(len(spent) * 0.99)]:.2f}"
    )


def main() -> None:
    """Measure each folder."""
    names = tuple(sys.argv[1].split(","))
    for folder in sys.argv[2:]:
        paths = sorted(path for path in Path(folder).iterdir() if path.is_file())
        print(asyncio.run(measure(names, Path(folder), paths)))


if __name__ == "__main__":
    main()
