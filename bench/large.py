"""What long messages cost the front door: 32 clients send 25 MB each at once, into a folder or S3.

    python -m bench.large FOLDER|s3://bucket/prefix [clients] [megabytes]     the environment as for `gatepost up`

Ingress runs in a process of its own, with its real store and a bus in memory; events are small. Prints its memory
before and at most, how late its event loop was (a beat every 5 ms), and what the senders saw. Then every object is read
again and compared. Fails when memory passes 200 MB, p99 of the lag 50 ms, or an object is not what was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import statistics
import sys
import time
from pathlib import Path

import uvloop

from schemas.events import Customer, Domain, Host, Scanner
from services.core.clock import SystemClock
from services.core.directory import Directory
from services.core.signals import Signals
from services.core.stored import unpack
from services.ingress.config import read
from services.ingress.server import Ingress
from services.runtime.fakes import MemoryBus
from services.runtime.fakes_dns import FakeDns
from services.runtime.open_store import open_store
from services.runtime.s3_location import s3_location
from services.runtime.s3_provision import provision
from services.runtime.store import Store

MEMORY = 200 << 20
LAG = 0.050  # seconds, p99
BEAT = 0.005
LINE = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abc\r\n"


def message(number: int, megabytes: int) -> bytes:
    """Return a message of so many megabytes, like no other's."""
    head = b"Subject: %d\r\n\r\n" % number
    return head + LINE * ((megabytes * 1_000_000 - len(head)) // len(LINE))


def _status(name: str) -> int:
    match = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(match[1]) * 1024 if match else 0


async def serve(url: str) -> None:
    """Be the ingress: tell the port, measure until a line comes, then tell what was measured and stored."""
    if url.startswith("s3://"):
        await provision(s3_location(url, os.environ))
    store = await open_store(url, os.environ)
    known = Directory()
    known.apply(
        Customer(
            id="acme",
            salt="0f" * 16,
            domains=(Domain(name="acme.test", relay=(Host(host="mx.acme.test"),), any_recipient=True),),
        )
    )
    known.apply(Scanner(name="virus", version="1"))
    known.caught_up()
    ingress = Ingress(
        read({**os.environ, "GATEPOST_INGRESS_PORT": "0"}),
        store=store,
        bus=MemoryBus(),
        directory=known,
        dns=FakeDns(),
        signals=Signals(),
        clock=SystemClock(),
        entropy=os.urandom,
    )
    before, lags = _status("VmRSS"), [0.0]
    print(await ingress.start(), flush=True)

    async def beat() -> None:
        while True:
            due = time.perf_counter() + BEAT
            await asyncio.sleep(BEAT)
            lags.append(max(0.0, time.perf_counter() - due))

    beating = asyncio.create_task(beat())
    await asyncio.to_thread(sys.stdin.readline)
    beating.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await beating
    quantiles = statistics.quantiles(lags, n=1000)
    found = {"before": before, "most": _status("VmHWM"), "p99": quantiles[989], "max": max(lags), "beats": len(lags)}
    await ingress.close()
    print(json.dumps({**found, "stored": await _stored(store)}), flush=True)
    await store.close()


async def _stored(store: Store) -> list[str]:
    digests = []
    for key in [stat.key async for stat in store.list("mail")]:
        _, body = unpack(await store.get(key))
        digests.append(hashlib.sha256(body).hexdigest())
        await store.delete(key)
    return digests


async def send(port: int, content: bytes, *, chunks: bool) -> float:
    """Send one message by DATA or BDAT; return the seconds from its first octet to the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for line in (b"", b"EHLO bench.test\r\n", b"MAIL FROM:<a@bench.test>\r\n", b"RCPT TO:<b@acme.test>\r\n"):
        writer.write(line)
        await _answered(reader, b"2")
    begun = time.perf_counter()
    view = memoryview(content)
    if not chunks:
        writer.write(b"DATA\r\n")
        await _answered(reader, b"354")
    step = 1_000_000 if chunks else 65_536
    for at in range(0, len(view), step):
        if chunks:
            writer.write(b"BDAT %d\r\n" % len(view[at : at + step]))
        writer.write(view[at : at + step])
        await writer.drain()
        if chunks:
            await _answered(reader, b"250")
    writer.write(b"BDAT 0 LAST\r\n" if chunks else b".\r\n")
    await _answered(reader, b"250")
    took = time.perf_counter() - begun
    writer.close()
    return took


async def _answered(reader: asyncio.StreamReader, code: bytes) -> None:
    line = b"   -"
    while line[3:4] == b"-":
        line = await reader.readline()
    if not line.startswith(code):
        raise SystemExit(f"expected {code.decode()}, heard {line.decode().strip()!r}")


async def run(url: str, clients: int, megabytes: int, *, chunks: bool) -> bool:
    """Measure one run and print it; return whether it keeps what it must."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.large", "--serve", url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    if child.stdin is None or child.stdout is None:
        raise SystemExit("no pipes to the ingress")
    try:
        port = int(await child.stdout.readline())
        contents = [message(number, megabytes) for number in range(clients)]
        begun = time.perf_counter()
        times = await asyncio.gather(*(send(port, content, chunks=chunks) for content in contents))
        elapsed = time.perf_counter() - begun
        child.stdin.write(b"\n")
        found = json.loads((await child.stdout.read()).splitlines()[0])
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()
    whole = sorted(found["stored"]) == sorted(hashlib.sha256(content).hexdigest() for content in contents)
    kept = whole and found["most"] < MEMORY and found["p99"] < LAG
    print(
        f"{'BDAT' if chunks else 'DATA'} {clients} x {megabytes} MB"
        f"  memory {found['before'] >> 20} -> {found['most'] >> 20} MB"
        f"  lag p99 {found['p99'] * 1e3:.1f} ms, most {found['max'] * 1e3:.1f} ms of {found['beats']} beats"
        f"  all in {elapsed:.1f} s, slowest {max(times):.1f} s, {clients * megabytes / elapsed:.0f} MB/s"
        f"  {'every octet is there' if whole else 'WHAT IS STORED IS NOT WHAT WAS SENT'}"
        f"  {'kept' if kept else 'NOT KEPT'}",
        flush=True,
    )
    return kept


async def main(url: str, clients: int = 32, megabytes: int = 25) -> bool:
    """Measure DATA and BDAT; return whether both keep what they must."""
    return all([await run(url, clients, megabytes, chunks=chunks) for chunks in (False, True)])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        uvloop.run(serve(sys.argv[2]))
    elif len(sys.argv) < 2:  # the name and one argument
        sys.exit(__doc__)
    else:
        sys.exit(not uvloop.run(main(sys.argv[1], *map(int, sys.argv[2:4]))))
