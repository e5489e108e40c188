"""Getting a session: resolve, connect, greeting, EHLO, and TLS where it can be had."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import aiosmtplib

from schemas.events import Host
from services.core.clock import Clock
from services.core.errors import Temporary
from services.delivery.config import DeliveryConfig
from services.delivery.session import FAILURES, Session, SmtpSession, failure_name

log = logging.getLogger("gatepost.delivery")

PLAIN_FOR: Final = 300.0  # seconds in which a host whose TLS failed is not asked for it again
RESOLVED_MOST: Final = 8  # addresses of one name that are tried

AddressInfo = tuple[Any, Any, int, str, Any]
Resolve = Callable[[str, int], Awaitable[Sequence[AddressInfo]]]


class Unreachable(Temporary):
    """The host gave no session: no address, no connection, no greeting, no EHLO."""


class Dial(Protocol):
    """How a session comes about. Fakes implement this."""

    async def __call__(self, host: Host) -> Session:
        """Return a session that is ready for MAIL; raise Unreachable."""
        ...


class _NoTls(Exception):  # noqa: N818 - control flow inside this module
    """The host offered TLS and it failed."""


async def getaddrinfo(host: str, port: int) -> Sequence[AddressInfo]:
    """Return the addresses of the host by the system's resolver."""
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)


class SmtpDial:
    """Dial over aiosmtplib, with opportunistic TLS: encrypted where it works, in plain where it doesn't (RFC 7435).

    aiosmtplib checks certificates by default and never falls back; both are policy, and ours is the customer's: mail
    for an MTA with a self-signed or broken certificate still has to arrive.
    """

    def __init__(self, config: DeliveryConfig, clock: Clock, resolve: Resolve = getaddrinfo) -> None:
        self._config = config
        self._clock = clock
        self._resolve = resolve
        self._context = tls_context()
        self._plain_until: dict[tuple[str, int], float] = {}

    async def __call__(self, host: Host) -> Session:
        """See Dial."""
        name = (host.host, host.port)
        if self._config.relay_starttls and self._plain_until.get(name, 0.0) <= self._clock.monotonic():
            self._plain_until.pop(name, None)
            try:
                return await self._open(host, tls=True)
            except _NoTls as error:
                self._plain_until[name] = self._clock.monotonic() + PLAIN_FOR
                log.warning("host=%s:%d event=tls-failed next=plain error=%s", *name, error)
        return await self._open(host, tls=False)

    async def _open(self, host: Host, *, tls: bool) -> Session:
        sock = await self._connect(host)
        smtp = aiosmtplib.SMTP(
            hostname=host.host,
            sock=sock,
            local_hostname=self._config.hostname,
            start_tls=False,
            tls_context=self._context,
            timeout=self._config.relay_command_seconds,
        )
        ready = False
        try:
            await self._greet(smtp)
            cipher = await self._encrypt(smtp, host) if tls and smtp.supports_extension("starttls") else ""
            ready = True
        finally:
            if not ready:
                smtp.close()
                sock.close()
        return SmtpSession(smtp, self._config, cipher)

    async def _connect(self, host: Host) -> socket.socket:
        loop = asyncio.get_running_loop()
        failure: OSError = OSError("no address")
        try:
            async with asyncio.timeout(self._config.relay_connect_seconds):
                for family, kind, proto, _, address in (await self._resolve(host.host, host.port))[:RESOLVED_MOST]:
                    sock = socket.socket(family, kind, proto)
                    sock.setblocking(False)
                    connected = False
                    try:
                        await loop.sock_connect(sock, address)
                        connected = True
                    except OSError as error:
                        failure = error
                    finally:
                        if not connected:
                            sock.close()
                    if connected:
                        return sock
        except TimeoutError as error:
            raise Unreachable(f"no connection within {self._config.relay_connect_seconds:g} s") from error
        except OSError as error:
            failure = error
        # asyncio words a refusal as "Connect call failed" with the address; the number says it as the system does.
        reason = os.strerror(failure.errno) if failure.errno and failure.errno > 0 else failure.strerror or str(failure)
        raise Unreachable(reason) from failure

    @staticmethod
    async def _greet(smtp: aiosmtplib.SMTP) -> None:
        try:
            await smtp.connect()
            try:
                await smtp.ehlo()
            except aiosmtplib.SMTPHeloError:
                if not smtp.is_connected:
                    raise
                await smtp.helo()
        except aiosmtplib.SMTPResponseException as error:
            raise Unreachable(f"{error.code} {error.message}") from error
        except FAILURES as error:
            raise Unreachable(f"{failure_name(error)} before MAIL") from error

    async def _encrypt(self, smtp: aiosmtplib.SMTP, host: Host) -> str:
        """Return TLS version and cipher; raise _NoTls when the host does not come through it."""
        try:
            await smtp.starttls(server_hostname=host.host, timeout=self._config.relay_connect_seconds)
            await smtp.ehlo()
        except FAILURES as error:
            raise _NoTls(f"{type(error).__name__}: {str(error)[:200]}") from error
        cipher = ""
        with contextlib.suppress(*FAILURES):
            tls: ssl.SSLObject | None = smtp.get_transport_info("ssl_object")
            if tls is not None and (suite := tls.cipher()):
                cipher = f"{tls.version()} {suite[0]}"
        return cipher


def tls_context() -> ssl.SSLContext:
    """Return a context that encrypts and checks no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
