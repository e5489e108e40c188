"""A whole Gatepost as a user starts it: `gatepost up` in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from services.cli.site import FILE, Site
from services.runtime.ports import free_ports

COMMAND = (sys.executable, "-m", "services.cli")
UP_WITHIN = 120.0  # seconds; the first start of a machine fetches the broker's jars


@dataclasses.dataclass
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


async def gatepost(*arguments: str, environ: Mapping[str, str] | None = None, within: float = 60.0) -> Answer:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        env={**os.environ, **(environ or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), within)
    return Answer(process.returncode or 0, out.decode(), err.decode())


class House:
    """`gatepost up` on a data folder. It can be stopped, killed, and started again."""

    def __init__(self, data: Path, port: int, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.port = port
        self._arguments = arguments
        api, pages, console, users, directory = free_ports(5)
        self.api = f"http://127.0.0.1:{api}"
        self.pages = f"http://127.0.0.1:{pages}"
        self.console = f"http://127.0.0.1:{console}"
        self.users = f"http://127.0.0.1:{users}"
        self._environ = {
            "GATEPOST_API_PORT": str(api),
            "GATEPOST_PAGES_PORT": str(pages),
            "GATEPOST_PAGES_URL": self.pages,
            "GATEPOST_CONSOLE_PORT": str(console),
            "GATEPOST_CONSOLE_URL": self.console,
            "GATEPOST_USERS_PORT": str(users),
            "GATEPOST_USERS_URL": self.users,
            "GATEPOST_DIRECTORY_PORT": str(directory),
            **(environ or {}),
        }
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.log: list[str] = []

    @property
    def site(self) -> Site:
        """What it wrote of itself."""
        return msgspec.json.decode((self.data / FILE).read_bytes(), type=Site)

    @property
    def pid(self) -> int:
        """Return the supervisor's process id, which is that of its group."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the supervisor runs."""
        return self._process is not None and self._process.returncode is None

    async def up(self) -> None:
        """Start it and return when it says that it is up."""
        self._process = await asyncio.create_subprocess_exec(
            *COMMAND,
            "up",
            "--data",
            str(self.data),
            "--port",
            str(self.port),
            *self._arguments,
            env={**os.environ, "GATEPOST_PROBE_FIRST_SECONDS": "1", **self._environ},  # no test waits a minute
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # its own group, so that a test can kill all of it and nothing else
        )
        announced = asyncio.Event()
        self._reading = asyncio.create_task(self._read(announced))
        ended = asyncio.create_task(self._process.wait())
        waiting = asyncio.create_task(announced.wait())
        await asyncio.wait((ended, waiting), timeout=UP_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not announced.is_set():
            raise AssertionError("gatepost up did not come up:\n" + "\n".join(self.log[-90:]))
        self._ended = ended

    async def _read(self, announced: asyncio.Event) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.log.append(line.decode("utf-8", "replace").rstrip())
            with self.data.with_suffix(".log").open("a") as file:  # stays beside the data when a test fails
                file.write(f"{self.log[-1]}\n")
            if "Gatepost is up" in self.log[-1]:
                announced.set()

    async def stop(self) -> int:
        """Ctrl-C, as a terminal sends it: to the whole group. Return the exit code."""
        return await self._end(signal.SIGINT, group=True)

    async def kill(self, *, group: bool = True) -> None:
        """SIGKILL for every process at once, or for the supervisor alone."""
        await self._end(signal.SIGKILL, group=group)

    async def _end(self, number: signal.Signals, *, group: bool) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(self._process.pid, number)
        code = await asyncio.wait_for(self._ended, 60)
        if self._reading is not None:
            if group:
                await asyncio.wait_for(self._reading, 30)
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        return code

    async def __aenter__(self) -> House:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.stop()

    def members(self) -> dict[int, str]:
        """Return the processes of the group, by id, with their command lines."""
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, ProcessLookupError):
                if os.getpgid(int(entry.name)) == self.pid:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    async def gatepost(self, *arguments: str) -> Answer:
        """Run a command on this house's data folder."""
        return await gatepost(*arguments, "--data", str(self.data), environ=self._environ)


async def until(true: object, within: float) -> float:
    """Wait for a condition with a deadline; return the seconds it took."""
    began = time.monotonic()
    assert callable(true)
    while not true():
        if time.monotonic() - began > within:
            raise AssertionError(f"not within {within:g} s")
        await asyncio.sleep(0.01)
    return time.monotonic() - began
