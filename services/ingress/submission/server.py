"""The listening socket of submission: the MX's, with another door in it."""

from __future__ import annotations

import asyncio
import logging
import os

from services.core.errors import ConfigError, StartError
from services.ingress.connection import Connection
from services.ingress.door import Door
from services.ingress.server import Ingress
from services.ingress.submission.config import SubmissionConfig
from services.ingress.submission.connection import SubmissionConnection
from services.ingress.submission.door import Submission
from services.ingress.submission.guards import SubmissionGuards

log = logging.getLogger("gatepost.submission")


class SubmissionServer(Ingress):
    """What `app.run` starts and stops."""

    name = "submission"
    _config: SubmissionConfig
    _guards: SubmissionGuards
    _guarded = SubmissionGuards
    _connection = SubmissionConnection

    _sealed: asyncio.Server | None = None

    async def start(self) -> int:
        """See Ingress. Listens where TLS comes first as well."""
        port = await super().start()
        front, config = self._front, self._config
        if not config.tls_port or front is None:
            return port
        if front.tls is None:
            raise ConfigError("GATEPOST_SUBMISSION_TLS_PORT: there is no certificate to show")

        def sealed() -> Connection:
            connection = self._connection(front)
            connection.sealed = True
            return connection

        loop = asyncio.get_running_loop()
        try:
            self._sealed = await loop.create_server(sealed, config.host, config.tls_port, reuse_address=True)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise StartError(f"submission can't listen on {config.host}:{config.tls_port}: {reason}") from error
        log.info("listening host=%s port=%d tls=first", config.host, config.tls_port)
        return port

    async def close(self) -> None:
        """See Ingress."""
        if self._sealed is not None:
            self._sealed.close()
        await super().close()

    def _door(self) -> Door:
        return Submission(self._config, self._directory, self._guards)
