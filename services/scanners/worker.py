"""A worker process: `python -m services.scanners.worker FD`. It takes scans from the pool at the other end of FD.

It ends when the pool closes its end, and the kernel kills it when the pool's process dies while a scan has the CPU.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import logging
import os
import resource
import signal
import socket
import sys
from contextlib import AsyncExitStack
from functools import partial

import uvloop

from services.core.clock import SystemClock
from services.core.errors import ConfigError, ObjectCorrupt, ObjectNotFound, StartError, StoreUnavailable
from services.runtime import logs
from services.runtime.aside import ReadOnlyStore
from services.runtime.open_store import open_store
from services.scanners import run as runner
from services.scanners.auth.dmarc import organizational
from services.scanners.briefing import decode
from services.scanners.cache import MailCache
from services.scanners.contract import Context, Finding, Scanner
from services.scanners.frames import Done, Failed, Ready, Refused, Scan, Setup, frame, receive, to_worker
from services.scanners.ports import open_ports
from services.scanners.registry import choose

log = logging.getLogger("gatepost.scanners.worker")

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
OUT_OF_MEMORY = 70  # the exit code of a worker that hit its memory limit


class Worker:
    """Runs scans side by side in one event loop; each answer is one frame."""

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        scanners: dict[str, Scanner],
        ctx: Context,
        mails: MailCache,
        patience: float = 1.0,
    ) -> None:
        self._writer = writer
        self._scanners = scanners
        self._ctx = ctx
        self._mails = mails
        self._patience = patience
        self._tasks: set[asyncio.Task[Finding]] = set()

    def begin(self, scan: Scan) -> None:
        """Start a scan; its answer is sent when it ends."""
        task = asyncio.create_task(self._scan(scan), name=f"{scan.scanner}-{scan.id}")
        self._tasks.add(task)
        task.add_done_callback(partial(self._answer, scan))

    async def close(self) -> None:
        """Drop what is under way: nobody waits for it any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _scan(self, scan: Scan) -> Finding:
        mail = await self._mails.get(scan.key, scan.id)
        ctx = dataclasses.replace(self._ctx, briefing=decode(scan.briefing))
        try:
            return await runner.run(self._scanners[scan.scanner], mail, ctx, self._patience)
        finally:
            self._mails.settle(scan.key)

    def _answer(self, scan: Scan, task: asyncio.Task[Finding]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        match task.exception():
            case None:
                answer: Done | Failed = Done(scan.number, task.result())
            case ObjectNotFound() as error:
                answer = Failed(scan.number, "gone", str(error))
            case StoreUnavailable() as error:
                answer = Failed(scan.number, "unavailable", str(error))
            case ObjectCorrupt() as error:
                answer = Failed(scan.number, "corrupt", str(error))
            case MemoryError():
                os._exit(OUT_OF_MEMORY)  # what else is broken by now is unknown; the pool starts another worker
            case error:
                log.error("id=%s scanner=%s event=scanner-failed", scan.id, scan.scanner, exc_info=error)
                answer = Failed(scan.number, "bug", type(error).__name__)
        if not self._writer.is_closing():
            self._writer.write(frame(answer))


async def serve(connection: socket.socket) -> int:
    """Serve one pool until it hangs up; return the exit code."""
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    try:
        setup = await receive(reader, to_worker)
        if not isinstance(setup, Setup):
            return 1
        return await _serve(setup, reader, writer)
    finally:
        writer.close()


async def _serve(setup: Setup, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    if setup.config.scanner_memory:
        resource.setrlimit(resource.RLIMIT_AS, (setup.config.scanner_memory, setup.config.scanner_memory))
    async with AsyncExitStack() as stack:
        try:
            scanners = choose(setup.names, setup.package)
            specs = [scanner.SPEC for scanner in scanners.values()]
            ctx = await stack.enter_async_context(
                open_ports(setup.config, specs, SystemClock(), strict=setup.strict),
            )
            store = await open_store(setup.config.store, os.environ)
        except (ConfigError, StartError) as error:
            writer.write(frame(Refused(str(error), isinstance(error, ConfigError))))
            await writer.drain()
            return 1
        stack.push_async_callback(store.close)
        mails = MailCache(ReadOnlyStore(store), setup.config.scanner_cache)
        stack.push_async_callback(mails.close)
        worker = Worker(writer, scanners, ctx, mails, setup.patience)
        stack.push_async_callback(worker.close)
        organizational("gatepost.test")  # reads the list of public suffixes now, not in the first message's time
        writer.write(frame(Ready()))
        while (message := await receive(reader, to_worker)) is not None:
            if isinstance(message, Scan):
                worker.begin(message)
    return 0


def main() -> int:
    """Tie this process to its parent's life, then serve."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1  # the parent died before the line above
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the pool hears them, and ends us when its work is done
    logs.set_up(os.environ.get("GATEPOST_LOG_LEVEL", "INFO"))
    return uvloop.run(serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    sys.exit(main())
