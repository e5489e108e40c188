"""Which certificate a client is shown: by the name that it asks for (SNI), and always what the files hold now."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from services.core.clock import Clock
from services.core.errors import ConfigError, StartError
from services.ingress.config import IngressConfig
from services.ingress.tls import named_contexts, server_context

log = logging.getLogger("gatepost.ingress")

Mark = tuple[str, int, int, int]
EVERY: Final = 10.0  # seconds between two looks at the files


class Certificates:
    """One context for all connections, which takes on at each handshake what is shown to this client.

    Files that can't be used leave the last good certificates in place: that is logged, once for each change.
    """

    def __init__(self, config: IngressConfig, clock: Clock, *, every: float = EVERY) -> None:
        self.context: ssl.SSLContext | None = None  # None: no STARTTLS
        self._config = config
        self._clock = clock
        self._every = every
        self._default: ssl.SSLContext | None = None
        self._named: Mapping[str, ssl.SSLContext] = {}
        self._seen: tuple[Mark, ...] = ()
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> ssl.SSLContext | None:
        """Return what STARTTLS needs, and follow the files from now on; raise ConfigError or StartError."""
        self._seen = await asyncio.to_thread(self._marks)
        await self._load()
        self.context = self._default
        if self.context is not None:
            self.context.sni_callback = self._choose
            self.task = asyncio.create_task(self._follow(), name="ingress-certificates")
        return self.context

    async def close(self) -> None:
        """Follow the files no longer."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """Show the certificate of the name, of the wildcard above it, or the default one (RFC 6125 section 6.4.3)."""
        wanted = (name or "").lower()
        chosen = self._named.get(wanted) or self._named.get(f"*.{wanted.partition('.')[2]}") or self._default
        if chosen is not None:
            connection.context = chosen

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            marks = await asyncio.to_thread(self._marks)
            if marks == self._seen:
                continue
            self._seen = marks
            try:
                await self._load()
            except (ConfigError, StartError) as error:
                log.error("event=certificates-kept reason=%s", error)
            else:
                log.info("event=certificates-loaded names=%d", len(self._named))

    async def _load(self) -> None:
        default = await asyncio.to_thread(server_context, self._config, self._clock.now())
        named = await asyncio.to_thread(named_contexts, self._config)
        if named and default is None:
            raise ConfigError("GATEPOST_INGRESS_SNI_FOLDER: a client may ask for no name; set CERT and KEY as well")
        self._default, self._named = default, named

    def _marks(self) -> tuple[Mark, ...]:
        """Return what tells one state of the files from another. Blocks on files."""
        config = self._config
        paths = [Path(path) for path in (config.cert, config.key) if path]
        if config.sni_folder:
            with contextlib.suppress(OSError):
                paths += sorted(Path(config.sni_folder).iterdir())
        marks = []
        for path in paths:
            with contextlib.suppress(OSError):
                status = path.stat()
                marks.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(marks)
