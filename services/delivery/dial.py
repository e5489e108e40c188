"""Getting a session: resolve, connect, greeting, EHLO, and TLS where it can be had."""

from __future__ import annotations

import _ssl
import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import ssl
from typing import Final, Protocol, cast

import aiosmtplib

from schemas.events import Host
from services.core.clock import Clock
from services.delivery.config import DeliveryConfig
from services.delivery.dane import verify
from services.delivery.hops import ADDRESSES_MOST, Addresses, Hop, Resolve, is_public
from services.delivery.session import FAILURES, Session, SmtpSession, failure_name
from services.delivery.sts import Fetch, Https, Sts
from services.delivery.tls import DANE, NONE, STS, Demand, Demands, NotListed, Unreachable
from services.delivery.tls_results import Note, Result
from services.runtime.dns import Dns

__all__ = ["Dial", "SmtpDial", "Unreachable"]

log = logging.getLogger("gatepost.delivery")

POLICIES: Final = {STS: "sts", DANE: "tlsa", "": "no-policy-found"}  # demands that are reported, as a report has them

_CERTIFICATES: Final = {10: "certificate-expired", 62: "certificate-host-mismatch"}  # by OpenSSL's X509_V_ERR
PLAIN_FOR: Final = 300.0  # seconds in which a host whose TLS failed is not asked for it again


class Dial(Protocol):
    """How a session comes about. Fakes implement this."""

    async def __call__(self, host: Host) -> Session:
        """Return a session that is ready for MAIL; raise Unreachable."""
        ...


class _NoTls(Exception):  # noqa: N818 - control flow inside this module
    """The host didn't come through TLS; `result` is what a report calls that."""

    def __init__(self, text: str, result: str = "validation-failure") -> None:
        super().__init__(text)
        self.result = result


class SmtpDial:
    """Dial over aiosmtplib, with the TLS that the host has to come through (`tls.Demands`).

    Where nothing is asked, it is opportunistic: encrypted where it works, in plain where it doesn't (RFC 7435).
    aiosmtplib checks certificates by default and never falls back; both are policy, and ours is the customer's: mail
    for an MTA with a self-signed or broken certificate still has to arrive.
    """

    def __init__(
        self,
        config: DeliveryConfig,
        clock: Clock,
        dns: Dns,
        *,
        resolve: Resolve | None = None,
        fetch: Fetch | None = None,
        results: Note = lambda _: None,
    ) -> None:
        """`results` is told how TLS went with each host that an MX record names."""
        self._results = results
        self._config = config
        self._clock = clock
        self._resolve = resolve or Addresses(dns)
        sts = Sts(dns, clock, fetch or Https(dns, private=config.relay_private_mx))
        self._demands = Demands(config, dns, sts)
        self._plain_until: dict[tuple[str, int], float] = {}
        self._turn = 0

    async def __call__(self, host: Host) -> Session:
        """See Dial."""
        try:
            demand = await self._demands.of(host)
        except NotListed as error:
            self._note(host, Demand(None, name=STS, strings=error.strings), "validation-failure")
            raise
        if demand.must:
            try:
                session = await self._open(host, demand)
                self._note(host, demand)
                return session
            except _NoTls as error:
                self._note(host, demand, error.result)
                if not demand.lenient:
                    raise Unreachable(f"TLS ({demand.name}) is needed: {error}") from error
                log.warning("host=%s event=sts-testing-failure error=%s", host.host, error)
        return await self._opportunistic(host, demand)

    async def _opportunistic(self, host: Host, demand: Demand) -> Session:
        name = (host.host, host.port)
        encrypts = demand.name != NONE and self._demands.opportunistic.context is not None
        if encrypts and self._plain_until.get(name, 0.0) <= self._clock.monotonic():
            self._plain_until.pop(name, None)
            try:
                session = await self._open(host, self._demands.opportunistic)
                if demand.name == "":
                    self._note(host, demand, "" if session.tls else "starttls-not-supported")
                return session
            except _NoTls as error:
                if demand.name == "":
                    self._note(host, demand, error.result)
                self._plain_until[name] = self._clock.monotonic() + PLAIN_FOR
                log.warning("host=%s:%d event=tls-failed next=plain error=%s", *name, error)
        return await self._open(host, Demand(None))

    def _note(self, host: Host, demand: Demand, failure: str = "") -> None:
        """Tell how TLS went; where the customer names its hosts itself, nobody wants to know."""
        if isinstance(host, Hop) and host.via and demand.name in POLICIES:
            self._results(Result(host.via, POLICIES[demand.name], demand.strings, host.host, failure))

    async def _open(self, host: Host, demand: Demand) -> Session:
        sock = await self._connect(host)
        smtp = aiosmtplib.SMTP(
            hostname=host.host,
            sock=sock,
            local_hostname=self._config.hostname,
            start_tls=False,
            tls_context=demand.context,
            timeout=self._config.relay_command_seconds,
        )
        ready = False
        try:
            await self._greet(smtp)
            cipher = ""
            if demand.context is not None and smtp.supports_extension("starttls"):
                cipher = await self._encrypt(smtp, host, demand)
            elif demand.must:
                raise _NoTls("STARTTLS is not offered", "starttls-not-supported")
            ready = True
        finally:
            if not ready:
                transport = smtp.transport
                smtp.close()
                if transport is None:
                    sock.close()
                else:  # closed beneath it, a TLS transport would wait for a farewell that can't come, and never end
                    cast("asyncio.Transport", transport).abort()
        return SmtpSession(smtp, self._config, cipher)

    async def _connect(self, host: Host) -> socket.socket:
        loop = asyncio.get_running_loop()
        failure: OSError = OSError("no address")
        try:
            async with asyncio.timeout(self._config.relay_connect_seconds):
                found = await self._resolve(host.host, host.port)
                if isinstance(host, Hop) and host.public:
                    found = [info for info in found if is_public(info)]
                for family, kind, proto, _, address in found[:ADDRESSES_MOST]:
                    sock = socket.socket(family, kind, proto)
                    sock.setblocking(False)
                    connected = False
                    try:
                        self._bind(sock, host)
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

    def _bind(self, sock: socket.socket, host: Host) -> None:
        """Let the connection come from the host's pool; raise OSError where that has no address of the family."""
        if not isinstance(host, Hop) or not host.sources:
            return
        family = 6 if sock.family == socket.AF_INET6 else 4
        fit = [each for each in host.sources if ipaddress.ip_address(each).version == family]
        if not fit:
            raise OSError(errno.EADDRNOTAVAIL, "no address of the pool")
        self._turn += 1
        sock.bind((fit[self._turn % len(fit)], 0))

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

    async def _encrypt(self, smtp: aiosmtplib.SMTP, host: Host, demand: Demand) -> str:
        """Return TLS version, cipher and demand; raise _NoTls when the host does not come through it."""
        try:
            await smtp.starttls(server_hostname=host.host, timeout=self._config.relay_connect_seconds)
            await smtp.ehlo()
        except FAILURES as error:
            raise _NoTls(f"{type(error).__name__}: {str(error)[:200]}", _result(error)) from error
        cipher = ""
        tls: ssl.SSLObject | None = None
        with contextlib.suppress(*FAILURES):
            tls = smtp.get_transport_info("ssl_object")
            if tls is not None and (suite := tls.cipher()):
                cipher = f"{tls.version()} {suite[0]} {demand.name}".strip()
        if demand.records and (problem := verify(demand.records, _chain(tls), demand.names)):
            raise _NoTls(problem)
        return cipher


def _result(error: BaseException | None) -> str:
    """Return what a report calls a failed handshake (RFC 8460 section 4.3.2)."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    if error is None:
        return "validation-failure"
    return _CERTIFICATES.get(error.verify_code, "certificate-not-trusted")


def _chain(tls: ssl.SSLObject | None) -> list[bytes]:
    """Return the certificates that the host showed, its own first. Public only since Python 3.13."""
    if tls is None:
        return []
    shown = tls._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]  # as above
    return [certificate.public_bytes(_ssl.ENCODING_DER) for certificate in shown]
