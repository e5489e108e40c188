"""One process that `gatepost up` keeps alive: started, waited for, restarted when it dies, stopped in its turn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Mapping

from services.core.errors import StartError
from services.runtime import leash

log = logging.getLogger("gatepost.up")

READY_WITHIN = 60.0  # seconds until a fresh process must serve
STOP_WITHIN = 30.0  # seconds for a graceful stop, then SIGKILL; what was in flight is done again at the next start
RESTART_FIRST, RESTART_MOST = 0.5, 30.0  # seconds before a process that died is started again
STEADY = 60.0  # seconds of life after which a death counts as the first again


class Child:
    """A group of services in a process of its own."""

    def __init__(
        self, name: str, units: tuple[str, ...], environ: Mapping[str, str], *, optional: bool = False
    ) -> None:
        """`optional`: nothing else depends on it, so `keep` starts it, and that it doesn't start is no failure."""
        self.name = name
        self.optional = optional
        self._units = units
        self._environ = environ
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Return the process id while it runs."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process and return when all its services are ready; raise StartError when it dies before."""
        reader, writer = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                leash.__file__,
                str(os.getpid()),
                sys.executable,
                "-m",
                "services.cli",
                "run",
                *self._units,
                env={**self._environ, "GATEPOST_NOTIFY_FD": str(writer)},
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(writer,),
            )
        finally:
            os.close(writer)
        pipe = os.fdopen(reader, "rb", buffering=0)
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), pipe
        )
        try:
            async with asyncio.timeout(READY_WITHIN):
                line = await stream.readline()
        except TimeoutError:
            await self._end()
            raise StartError(f"{self.name} was not ready within {READY_WITHIN:.0f} s; the log above says why") from None
        finally:
            transport.close()
        if line != b"ready\n":
            code = await self._process.wait()
            raise StartError(f"{self.name} stopped while starting (exit code {code}); the line above says why")

    async def keep(self) -> None:
        """Start the process again whenever it dies, until `stop`."""
        wait = RESTART_FIRST
        loop = asyncio.get_running_loop()
        if self.optional:
            try:
                await self.start()
            except StartError as error:
                log.error("process=%s event=start-failed error=%s", self.name, error)
        while self._process is not None:
            born = loop.time()
            code = await self._process.wait()
            if self._stopping:
                return
            wait = RESTART_FIRST if loop.time() - born > STEADY else min(RESTART_MOST, wait * 2)
            log.error("process=%s event=died code=%s restart_in=%.1fs", self.name, code, wait)
            await asyncio.sleep(wait)
            while not self._stopping:
                try:
                    await self.start()
                    log.info("process=%s event=restarted pid=%s", self.name, self.pid)
                    break
                except StartError as error:
                    wait = min(RESTART_MOST, wait * 2)
                    log.error("process=%s event=restart-failed again_in=%.1fs error=%s", self.name, wait, error)
                    await asyncio.sleep(wait)

    async def stop(self) -> None:
        """Ask the process to finish and wait for it; a process that takes too long is killed."""
        self._stopping = True
        await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await process.wait()
        except TimeoutError:
            log.error("process=%s event=killed after=%.0fs", self.name, STOP_WITHIN)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
