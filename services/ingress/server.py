"""The listening socket and its life: start, serve, stop without losing what is under way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from typing import Final

from services.core import replies
from services.core.clock import Clock
from services.core.directory import DirectoryView
from services.core.errors import StartError
from services.core.signals import Signals
from services.ingress.accept import Acceptor
from services.ingress.certificates import Certificates
from services.ingress.config import IngressConfig
from services.ingress.connection import Connection
from services.ingress.door import Door, Mx
from services.ingress.front import Front
from services.ingress.guards import Guards
from services.ingress.rejections import Rejections
from services.runtime.bus import Bus
from services.runtime.dns import Dns
from services.runtime.store import Store

log = logging.getLogger("gatepost.ingress")

_BACKLOG: Final = 512


class Ingress:
    """The MX: what `app.run` starts and stops. Submission overrides what makes it one."""

    name = "ingress"

    def __init__(
        self,
        config: IngressConfig,
        *,
        store: Store,
        bus: Bus,
        directory: DirectoryView,
        dns: Dns,
        signals: Signals,
        clock: Clock,
        entropy: Callable[[int], bytes],
    ) -> None:
        """Raise ConfigError for a setting that can't be used."""
        self._config = config
        self._directory = directory
        self._clock = clock
        self._acceptor = Acceptor(config, store=store, bus=bus, clock=clock, entropy=entropy)
        self._bus = bus
        self._rejections = Rejections(bus)
        self._guards = self._guarded(
            config, dns=dns, directory=directory, signals=signals, clock=clock, publish=self._rejections.note
        )
        self._certificates = Certificates(config, clock)
        self._front: Front | None = None
        self._server: asyncio.Server | None = None
        # aiosmtpd logs whole messages at DEBUG, and each command at INFO: ours are the lines that are wanted.
        logging.getLogger("mail.log").setLevel(logging.WARNING)

    async def start(self) -> int:
        """Listen, and return the port; raise StartError or ConfigError, one line each."""
        config = self._config
        tls = await self._certificates.start()
        front = Front(
            config,
            directory=self._directory,
            acceptor=self._acceptor,
            rejections=self._rejections,
            clock=self._clock,
            tls=tls,
            guards=self._guards,
            door=self._door(),
        )
        await self._guards.start(self._bus)
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                lambda: self._connection(front), config.host, config.port, backlog=_BACKLOG, reuse_address=True
            )
        except OSError as error:
            await self._certificates.close()
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise StartError(f"{self.name} can't listen on {config.host}:{config.port}: {reason}") from error
        self._front, self._server = front, server
        self._acceptor.sweeper.start()
        self._rejections.start()
        port: int = server.sockets[0].getsockname()[1]
        log.info("listening host=%s port=%d tls=%s", config.host, port, tls is not None)
        return port

    _guarded: Callable[..., Guards] = Guards
    _connection: Callable[[Front], Connection] = Connection

    def _door(self) -> Door:
        return Mx(self._config, self._directory)

    async def serve(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set; raise what ended a task of ours before that."""
        waiting = asyncio.create_task(stop.wait(), name="ingress-stop")
        kept = (self._acceptor.sweeper.task, self._rejections.task, self._certificates.task, *self._guards.tasks)
        own = [task for task in kept if task is not None]
        try:
            done, _ = await asyncio.wait([waiting, *own], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            waiting.cancel()

    async def close(self) -> None:
        """Take no more, let messages under way come to their answer, send the others away with 421."""
        if self._server is None or self._front is None:
            await self._certificates.close()
            await self._guards.close()
            return
        self._server.close()
        await self._certificates.close()
        await self._front.close(replies.SHUTTING_DOWN, self._config.shutdown_timeout)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.shutdown_timeout):
                await self._acceptor.close()
        await self._guards.close()
        await self._rejections.close()
        log.info("stopped")
