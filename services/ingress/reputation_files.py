"""The operator's own lists of networks, in files: read at the start, and again when they change."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

from services.core.errors import ConfigError
from services.core.networks import Networks, normal

log = logging.getLogger("gatepost.ingress")

EVERY: Final = 5.0  # seconds between looks at the files
_LINES_MOST: Final = 200_000


class NetworkFile:
    """One file: an address or network a line, `#` before a comment. No path: an empty list."""

    def __init__(self, setting: str, path: str) -> None:
        self.networks = Networks(())
        self._setting = setting
        self._path = path
        self._seen: tuple[float, int] | None = None

    async def load(self) -> None:
        """Read the file; raise ConfigError, which names the line, when it can't be used."""
        if self._path:
            self.networks, self._seen = await asyncio.to_thread(self._read)

    async def refresh(self) -> None:
        """Read the file if it changed. One that can't be used is told of, and the list stays as it was."""
        if not self._path:
            return
        try:
            seen = await asyncio.to_thread(self._stat)
            if seen == self._seen:
                return
            self._seen = seen
            await self.load()
            log.info("event=list-read setting=%s networks=%d", self._setting, len(self.networks))
        except ConfigError as error:
            log.error("event=list-kept error=%s", error)

    def _stat(self) -> tuple[float, int]:
        try:
            stat = Path(self._path).stat()
        except OSError as error:
            raise ConfigError(f"{self._setting}: {self._path}: {error.strerror}") from error
        return stat.st_mtime, stat.st_size

    def _read(self) -> tuple[Networks, tuple[float, int]]:
        seen = self._stat()
        try:
            lines = Path(self._path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise ConfigError(f"{self._setting}: {self._path}: {reason}") from error
        if len(lines) > _LINES_MOST:
            raise ConfigError(f"{self._setting}: {self._path}: more than {_LINES_MOST} lines")
        found: list[str] = []
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            try:
                found.append(normal(text))
            except ValueError as error:
                problem = f"{text[:60]!r} is neither an address nor a network"
                raise ConfigError(f"{self._setting}: {self._path}:{number}: {problem}") from error
        return Networks(found), seen


async def keep_fresh(files: list[NetworkFile]) -> None:
    """Look at the files every few seconds, for ever."""
    while True:
        await asyncio.sleep(EVERY)
        for file in files:
            await file.refresh()
