"""Scans messages by both scanners that unpack, each in a process with a worker's limits; prints what it took."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import sys
import time
from pathlib import Path

from services.scanners.checks import attachments, virus
from services.scanners.config import ScannersConfig
from services.scanners.run import run
from tests.mails import context, mail


def main(paths: list[str]) -> None:
    """Print a line of JSON for each file: its name, the findings, seconds of CPU, and megabytes at the most."""
    limit = ScannersConfig().scanner_memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for path in paths:
        child = os.fork()  # what is imported once serves all of them
        if child == 0:
            asyncio.run(_weigh(Path(path).name, Path(path).read_bytes()))
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)


async def _weigh(name: str, raw: bytes) -> None:
    ctx = context()
    message = mail(raw)
    started = time.process_time()
    findings = [await run(item, message, ctx) for item in (virus, attachments)]
    seconds = time.process_time() - started
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())  # noqa: ASYNC240  # no disk behind it
    print(  # noqa: T201  # the parent reads it
        json.dumps(
            {
                "name": name,
                "statuses": [item.status.value for item in findings],
                "codes": sorted({piece.code for item in findings for piece in item.evidence}),
                "seconds": round(seconds, 2),
                "megabytes": int(peak.group(1)) // 1024 if peak else 0,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
