"""Where the processor's time goes, process by process: python -m bench.flames FOLDER --out bench/flames/NAME

Sends the folder's messages to a `gatepost up` while py-spy looks at each of its Python processes, and keeps a flame
graph (SVG) of each. py-spy must be on the path; it is no part of the project's environment.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import html
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop

from bench import usage
from bench.dns import NameServer
from bench.house import DOMAIN, House
from bench.ledger import Ledger
from bench.measure import measure, settings
from bench.messages import load
from bench.sink import Sink

RATE = 200  # looks a second
LIKE = {"broker (JVM)", "supervisor"}  # not Python, or idle
SHOWN = 40  # functions of each process that are printed
_TITLE = re.compile(r"<title>(.+?) \(([\d,]+) samples")


async def main(chosen: argparse.Namespace) -> None:
    """Print what took longest in each process, and write the graphs."""
    spy = shutil.which("py-spy")
    if spy is None:
        raise SystemExit("py-spy is not on the path: pip install py-spy, anywhere")
    messages = load(chosen.folder)
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen.data, prefix="gatepost-flames-") as name:
        async with Sink() as sink, NameServer() as names, House(Path(name), sink.port, names.address) as house:

            def used() -> dict[str, usage.Use]:
                return usage.tree(house.pid)

            warm = settings([], [8])[0]
            await measure(house.port, warm, Ledger(0, messages, 200, DOMAIN), sink, used)
            setting = settings([chosen.rate], [])[0] if chosen.rate else settings([], [chosen.connections])[0]
            async with contextlib.AsyncExitStack() as stack:
                kept = {}
                for pid, part in usage.parts(house.pid).items():
                    if part in LIKE:
                        continue
                    stem = re.sub(r"[^a-z]+", "-", part.split("(")[0].strip()) + (f"-{pid}" if part in kept else "")
                    kept[part] = chosen.out / f"{stem}.svg"
                    await stack.enter_async_context(_watched(spy, pid, kept[part]))
                ledger = Ledger(1, messages, chosen.messages, DOMAIN)
                run = await measure(house.port, setting, ledger, sink, used)
    print(f"{setting.name}, {chosen.messages} messages: milliseconds of a processor for each, under py-spy")
    for part, path in sorted(kept.items()):
        print(f"\n{part}: {run.used[part].cpu * 1000 / chosen.messages:.2f} ms")
        _told(path)


@contextlib.asynccontextmanager
async def _watched(spy: str, pid: int, path: Path) -> AsyncIterator[None]:
    """Look at the process until the block ends: py-spy writes when it is interrupted."""
    command = (spy, "record", "--pid", str(pid), "--rate", str(RATE), "--function", "--output", str(path))
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, "--nonblocking", stdout=quiet, stderr=quiet)
    try:
        yield
    finally:
        process.send_signal(2)
        await process.wait()


def _told(path: Path) -> None:
    found: Counter[str] = Counter()
    graph = re.sub(r"[^\s>]*/py-spy ", "py-spy ", path.read_text())  # its title would name a folder of this machine
    path.write_text(graph)
    for function, samples in _TITLE.findall(graph):
        found[html.unescape(function)] += int(samples.replace(",", ""))
    for function, samples in found.most_common(SHOWN):
        print(f"  {samples / found['all']:6.1%}  {function}")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--messages", type=int, default=600)
    options.add_argument("--rate", type=float, default=0.0, help="a second; 0: as fast as --connections go")
    options.add_argument("--connections", type=int, default=8)
    options.add_argument("--data", type=Path, default=None, help="where the data folder is made")
    sys.exit(uvloop.run(main(options.parse_args())))
