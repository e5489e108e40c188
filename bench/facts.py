"""What a figure is worth nothing without: the machine, the software, the messages."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bench.messages import Message

SYNCS = 200


def facts(folder: Path, messages: Sequence[Message]) -> dict[str, str]:
    """Return the facts by name; `folder` is where the data lies, and is written to."""
    sizes = [len(message.content) for message in messages]
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": f"{len(os.sched_getaffinity(0))} cores, {_model()}, {_memory()} GB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "store and broker": f"{_filesystem(folder)}; write + fdatasync {_sync(folder) * 1000:.2f} ms (median)",
        "messages": f"{len(messages)} from the folder, {statistics.mean(sizes):,.0f} octets on average, "
        f"{statistics.median(sizes):,.0f} the median, {max(sizes):,} the most",
    }


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(("git", *words), capture_output=True, text=True, check=False).stdout.strip()

    name = git("rev-parse", "--short", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "services", "schemas")
    return (name or "unknown") + (" with changes" if changed else "")


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _filesystem(folder: Path) -> str:
    """Return the type of the file system that the folder is on: on tmpfs a sync is free and proves nothing."""
    found, longest = "unknown", -1
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if folder.resolve().is_relative_to(point) and len(point) > longest:
            found, longest = kind, len(point)
    return found


def _sync(folder: Path) -> float:
    took = []
    probe = folder / "probe"
    with probe.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    probe.unlink()
    return statistics.median(took)
