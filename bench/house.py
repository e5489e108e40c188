"""Gatepost as a user starts it, with one customer that relays to the bench's sink."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

COMMAND = (sys.executable, "-m", "services.cli")
DOMAIN = "example.test"
UP_WITHIN = 180.0  # seconds; the first start of a machine fetches the broker's jars
DOWN_WITHIN = 90.0
# One rule that delivers all: every scanner still scans every message, and all that was sent can be compared.
CONFIG = """\
customers:
  - id: bench
    domains:
      - {{name: {domain}, relay: ["127.0.0.1:{port}"], recipients: any}}
    policy:
      rules: [{{name: all, then: deliver}}]
"""


class NotUp(Exception):  # noqa: N818  # it reads as what it says
    """Gatepost did not come up, or died; the text is the end of its log."""


class House:
    """`gatepost up` in a folder, from `async with` to its end."""

    def __init__(
        self,
        folder: Path,
        relay_port: int,
        dns: str,
        *,
        config: str = CONFIG,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.port = _free_port()
        self.api_port = _free_port()
        self._folder = folder
        self._relay_port = relay_port
        self._dns = dns
        self._config = config
        self._environ = environ
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None  # noqa: S101  # entered
        return self._process.pid

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    async def __aenter__(self) -> House:
        config = self._folder / "gatepost.yaml"
        config.write_text(self._config.format(domain=DOMAIN, port=self._relay_port))
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *COMMAND,
                "up",
                *("--data", str(self._folder / "data"), "--port", str(self.port), "--config", str(config)),
                env={
                    **os.environ,
                    "GATEPOST_DNS": self._dns,
                    "GATEPOST_API_PORT": str(self.api_port),
                    "GATEPOST_PAGES_PORT": str(_free_port()),
                    "GATEPOST_CONSOLE_PORT": str(_free_port()),
                    "GATEPOST_USERS_PORT": str(_free_port()),
                    **self._environ,
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,  # a file costs the bench nothing; a pipe would
                stderr=log,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(UP_WITHIN):
                while b"Gatepost is up" not in self._log.read_bytes():
                    self.check()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            await self.__aexit__()
            raise NotUp(f"not up within {UP_WITHIN:.0f} s\n{self._tail()}") from None
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), DOWN_WITHIN)
        except TimeoutError:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    def check(self) -> None:
        """Raise NotUp when it has ended."""
        assert self._process is not None  # noqa: S101  # entered
        if self._process.returncode is not None:
            raise NotUp(f"it ended with exit code {self._process.returncode}\n{self._tail()}")

    def troubles(self) -> list[str]:
        """Return the log's lines above INFO."""
        lines = self._log.read_text("utf-8", "replace").splitlines()
        return [line for line in lines if any(f" {level} " in line for level in ("WARNING", "ERROR", "CRITICAL"))]

    def _tail(self) -> str:
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-20:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
