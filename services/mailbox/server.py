"""The mailbox's SMTP server: plain aiosmtpd, which takes everything for anybody. It stands in for a customer's MTA."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import Final, cast

from aiosmtpd.smtp import SMTP, Envelope, Session

from services.core import replies
from services.core.clock import Clock
from services.core.errors import StartError
from services.mailbox.config import MailboxConfig
from services.mailbox.maildir import Delivered, deliver, prepare

log = logging.getLogger("gatepost.mailbox")

_COMMAND_LIMIT: Final = 4_096  # octets
_LINE_LIMIT: Final = 1_048_576  # octets; more than ingress lets through


class Sink(SMTP):
    """One connection."""

    command_size_limit = _COMMAND_LIMIT
    line_length_limit = _LINE_LIMIT

    def __init__(self, mailbox: Mailbox, config: MailboxConfig) -> None:
        # aiosmtpd shares one table among all connections: an EHLO of one would change another's limits
        self.command_size_limits = defaultdict(lambda: _COMMAND_LIMIT)
        super().__init__(
            mailbox,
            data_size_limit=config.max_size,
            enable_SMTPUTF8=True,
            hostname=config.hostname,
            ident="ESMTP Gatepost mailbox",
            loop=asyncio.get_running_loop(),
        )
        self._mailbox = mailbox

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be known, so that a stop reaches this connection too."""
        self._mailbox.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Be forgotten."""
        self._mailbox.connections.discard(self)
        super().connection_lost(error)

    def dismiss(self) -> None:
        """Send the client away."""
        if self.transport is not None:
            stream = cast("asyncio.Transport", self.transport)
            stream.write(f"{replies.SHUTTING_DOWN}\r\n".encode())
            stream.close()


class Mailbox:
    """The server and aiosmtpd's handler."""

    def __init__(self, config: MailboxConfig, clock: Clock) -> None:
        self.connections: set[Sink] = set()
        self._config = config
        self._clock = clock
        self._folder = Path(config.folder)
        self._numbers = count()
        self._writing = 0
        self._written = asyncio.Condition()
        self._server: asyncio.Server | None = None
        logging.getLogger("mail.log").setLevel(logging.WARNING)  # at DEBUG aiosmtpd logs whole messages

    async def start(self) -> int:
        """Listen, and return the port; raise StartError, one line, when there is no folder or no port to be had."""
        config = self._config
        try:
            await asyncio.to_thread(prepare, self._folder)
        except OSError as error:
            raise StartError(f"mailbox can't be kept in {self._folder}: {_reason(error)}") from error
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Sink(self, config), config.host, config.port, reuse_address=True
            )
        except OSError as error:
            raise StartError(f"mailbox can't listen on {config.host}:{config.port}: {_reason(error)}") from error
        port: int = self._server.sockets[0].getsockname()[1]
        log.info("listening host=%s port=%d", config.host, port)
        return port

    async def close(self) -> None:
        """Take no more; let what is being written be written, and be answered for."""
        if self._server is None:
            return
        self._server.close()
        try:
            async with asyncio.timeout(self._config.shutdown_timeout), self._written:
                await self._written.wait_for(lambda: not self._writing)
        except TimeoutError:
            log.warning("stopped while writing messages=%d", self._writing)
        for connection in tuple(self.connections):
            connection.dismiss()

    async def handle_DATA(self, server: Sink, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802  # aiosmtpd's hook
        """Return 250 once the message is in the Maildir, and a temporary refusal when it can't be put there."""
        now = self._clock.now()
        content = cast("bytes", envelope.original_content)
        delivered = Delivered(
            reverse_path="" if envelope.mail_from == "<>" else _clean(envelope.mail_from or ""),
            recipients=tuple(_clean(address) for address in envelope.rcpt_tos),
            client_ip=str(session.peer[0]) if session.peer else "",
            helo=_clean(session.host_name or ""),
            received_at=now,
        )
        name = f"{int(now)}.M{int(now % 1 * 1e6):06d}P{os.getpid()}Q{next(self._numbers)}.{self._config.hostname}"
        self._writing += 1
        try:
            async with asyncio.timeout(self._config.write_timeout):
                await asyncio.to_thread(deliver, self._folder, name, content, delivered, sync=self._config.sync)
        except OSError as error:  # also TimeoutError
            log.error("refused name=%s error=%s reason=%s", name, type(error).__name__, _reason(error))
            return str(replies.NO_ROOM if error.errno in {errno.ENOSPC, errno.EDQUOT} else replies.UNAVAILABLE)
        finally:
            self._writing -= 1
            async with self._written:
                self._written.notify_all()
        log.info("kept name=%s recipients=%d size=%d", name, len(delivered.recipients), len(content))
        return str(replies.OK)

    async def handle_exception(self, error: Exception) -> str:
        """Return one generic line; aiosmtpd's own tells the client what went wrong inside."""
        log.error("connection failed", exc_info=error)
        return str(replies.UNAVAILABLE)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__


def _clean(text: str) -> str:
    """Return the text as JSON can carry it: aiosmtpd gives octets that are no UTF-8 as lone surrogates."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
