"""One place for a worker: it is started, watched, killed when a scan overstays, and replaced.

A worker that dies may have been killed by any of the scans it had under way. Each of them gets a strike and is run
again alone on the next worker. Alone, a second death names the culprit, and the others are done by then.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import socket
import sys
from collections import deque
from typing import Final

import msgspec

from services.core.errors import ConfigError, EngineUnavailable, GatepostError, StartError
from services.runtime import metrics
from services.scanners.contract import Finding, Reason, unavailable
from services.scanners.frames import Done, Failed, FromWorker, Ready, Refused, Scan, Setup, frame, from_worker, receive

log = logging.getLogger("gatepost.scanners.pool")

# Seconds until a new worker must be ready. Where everything starts at once a start takes long: given up, it would begin
# again, and take longer for all.
START_WITHIN: Final = 120.0
RESTART_FIRST, RESTART_MOST = 0.1, 5.0  # seconds between tries to start one
STRIKES: Final = 2
_MODULE: Final = "services.scanners.worker"


@dataclasses.dataclass(slots=True)
class Job:
    """A scan that somebody waits for."""

    scan: Scan
    limit: float  # seconds, grace included
    answer: asyncio.Future[Finding | Failed]
    strikes: int = 0

    def resolve(self, answer: Finding | Failed) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: GatepostError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class _Process:
    """A worker process that is ready, and the scans it has under way."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.jobs: dict[int, Job] = {}
        self.gone = asyncio.Event()  # the process ended, or has to
        self.reason = Reason.CRASH
        self._process = process
        self._writer = writer
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._listener = asyncio.create_task(self._listen(reader), name=f"worker-{process.pid}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def submit(self, job: Job) -> None:
        number = job.scan.number
        self.jobs[number] = job
        self._timers[number] = asyncio.get_running_loop().call_later(job.limit, self._expire, job)
        if not self._writer.is_closing():  # else the process has ended: who keeps the slot sees to its jobs
            self._writer.write(frame(job.scan))

    async def kill(self) -> int:
        """End the process and return its exit code; what it had under way stays in `jobs`."""
        for timer in self._timers.values():
            timer.cancel()
        self._writer.close()
        if self._process.returncode is None:
            self._process.kill()
        code = await self._process.wait()
        self._listener.cancel()
        await asyncio.gather(self._listener, return_exceptions=True)
        return code

    async def leave(self, within: float) -> None:
        """Ask the process to end by itself, and kill it when it doesn't."""
        self._writer.close()
        try:
            async with asyncio.timeout(within):
                await self._process.wait()
        except TimeoutError:
            log.warning("worker=%d event=does-not-leave", self.pid)
        await self.kill()

    def _expire(self, job: Job) -> None:
        scan = job.scan
        log.error("worker=%d id=%s scanner=%s event=overstays limit_s=%.0f", self.pid, scan.id, scan.scanner, job.limit)
        self.reason = Reason.TIME
        self.gone.set()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while (message := await receive(reader, from_worker)) is not None:
            if isinstance(message, Done | Failed):
                job = self.jobs.pop(message.number, None)
                timer = self._timers.pop(message.number, None)
                if job is not None and timer is not None:
                    timer.cancel()
                    job.resolve(message.finding if isinstance(message, Done) else message)
        self.gone.set()


class Slot:
    """Keeps one worker running from `start` to `close`."""

    def __init__(self, setup: Setup, in_flight: int, wait: float) -> None:
        self._setup = setup
        self._wait = wait * setup.patience
        self._places = asyncio.Semaphore(in_flight)
        self._open: _Process | None = None
        self._opened = asyncio.Condition()
        self._suspects: deque[Job] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id of the worker that takes scans, None while there is none."""
        return self._open.pid if self._open else None

    async def start(self) -> None:
        """Start the worker; raise ConfigError or StartError when it can't be had at all."""
        first = await _spawn(self._setup)
        self._task = asyncio.create_task(self._keep(first), name="scanner-slot")

    async def close(self) -> None:
        """End the worker. Scans still under way are lost to whoever waits: EngineUnavailable."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def run(self, job: Job) -> Finding | Failed:
        """Return the job's answer; raise EngineUnavailable when no worker had a place for it in time."""
        try:
            async with asyncio.timeout(self._wait):
                await self._places.acquire()
        except TimeoutError as error:
            raise EngineUnavailable(f"no place in a worker within {self._wait:.0f} s") from error
        try:
            await self._submit(job)
            return await job.answer
        finally:
            self._places.release()

    async def _submit(self, job: Job) -> None:
        try:
            async with asyncio.timeout(self._wait), self._opened:
                await self._opened.wait_for(lambda: self._open is not None)
                if self._open is not None:
                    self._open.submit(job)
        except TimeoutError as error:
            raise EngineUnavailable(f"no worker within {self._wait:.0f} s") from error

    async def _keep(self, worker: _Process) -> None:
        try:
            while True:
                if await self._alone(worker):
                    await self._let_in(worker)
                await self._bury(worker)
                worker = await self._replace()
                metrics.WORKER_RESTARTS.inc()
        finally:
            await worker.leave(2.0)
            self._give_up([*worker.jobs.values(), *self._suspects], "the pool is closing")

    async def _alone(self, worker: _Process) -> bool:
        """Run the suspects one by one; return whether the worker survived all of them."""
        while self._suspects:
            job = self._suspects.popleft()
            if job.answer.done():
                continue
            worker.submit(job)
            ending = asyncio.create_task(worker.gone.wait())
            try:
                await asyncio.wait((job.answer, ending), return_when=asyncio.FIRST_COMPLETED)
            finally:
                ending.cancel()
            if not job.answer.done():
                return False
        return True

    async def _let_in(self, worker: _Process) -> None:
        """Open the worker to everybody until it dies."""
        async with self._opened:
            self._open = worker
            self._opened.notify_all()
        try:
            await worker.gone.wait()
        finally:
            self._open = None

    async def _bury(self, worker: _Process) -> None:
        """Give a strike to every scan that the dead worker had; a second strike is an answer."""
        code = await worker.kill()
        log.error("worker=%d event=died exit=%d reason=%s scans=%d", worker.pid, code, worker.reason, len(worker.jobs))
        for job in worker.jobs.values():
            job.strikes += 1
            if job.strikes < STRIKES:
                self._suspects.append(job)
                continue
            log.error("id=%s scanner=%s event=kills-workers reason=%s", job.scan.id, job.scan.scanner, worker.reason)
            job.resolve(unavailable(worker.reason, "the scanner's process died of this message, twice"))
        worker.jobs.clear()

    async def _replace(self) -> _Process:
        pause = RESTART_FIRST
        while True:
            try:
                return await _spawn(msgspec.structs.replace(self._setup, strict=False))
            except (ConfigError, StartError) as error:
                log.error("event=no-worker error=%s retry_s=%.1f", error, pause)
                self._give_up(self._suspects, "no worker can be started")
                self._suspects.clear()
            await asyncio.sleep(pause)
            pause = min(RESTART_MOST, pause * 2)

    @staticmethod
    def _give_up(jobs: deque[Job] | list[Job], text: str) -> None:
        for job in jobs:
            job.fail(EngineUnavailable(text))


async def _spawn(setup: Setup) -> _Process:
    """Return a worker that is ready; raise ConfigError or StartError, one line, when it refuses or doesn't come up."""
    within = START_WITHIN * setup.patience
    ours, theirs = socket.socketpair()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _MODULE,
            str(theirs.fileno()),
            pass_fds=(theirs.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            # Each arena of glibc takes 64 MB of address space, and a busy worker has one a thread: the limit would be
            # reached with little in use, and then no thread can start and no rule be matched.
            env={**os.environ, "MALLOC_ARENA_MAX": "2"},
        )
    except OSError as error:
        ours.close()
        raise StartError(f"a scanner process can't be started: {error}") from error
    finally:
        theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    answer: FromWorker | None = None
    try:
        writer.write(frame(setup))
        async with asyncio.timeout(within):
            answer = await receive(reader, from_worker)
    except TimeoutError as error:
        raise StartError(f"a scanner process was not ready within {within:.0f} s") from error
    finally:
        if not isinstance(answer, Ready):
            writer.close()
            if process.returncode is None:
                process.kill()
            await process.wait()
    if isinstance(answer, Refused):
        raise ConfigError(answer.text) if answer.config else StartError(answer.text)
    if answer is None:
        raise StartError("a scanner process ended before it was ready; its log says why")
    return _Process(process, reader, writer)
