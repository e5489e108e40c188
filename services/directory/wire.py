"""The connection to an LDAP server: bytes in and out, TLS in between, and a deadline on every wait."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from pathlib import Path
from typing import Final, cast

from services.core.directory_config import Endpoint
from services.core.errors import DirectoryRefused, DirectoryUnavailable

HIGH: Final = 262_144  # octets that wait to be looked at before the server is made to wait

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Wire(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._grown = asyncio.Event()
        self._ended = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._buffer += data
        self._grown.set()
        if len(self._buffer) > HIGH and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the end is what counts
        """See asyncio.Protocol."""
        self._ended = True
        self._grown.set()

    def write(self, data: bytes) -> None:
        """Send; requests are small, so nothing waits for room."""
        if self._transport is not None and not self._ended:
            self._transport.write(data)

    async def read(self, limit: int) -> bytes:
        """Return 1 to `limit` octets; raise DirectoryUnavailable at the end of the connection."""
        while not self._buffer:
            if self._ended:
                raise DirectoryUnavailable("the server closed the connection")
            self._grown.clear()
            await self._grown.wait()
        data = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        if self._paused and len(self._buffer) < HIGH // 2 and self._transport is not None and not self._ended:
            self._transport.resume_reading()
            self._paused = False
        return data

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Go on in TLS; raise DirectoryRefused when the server can't prove that this is its name."""
        if self._buffer:  # somebody on the way put in what would be read as if it had come through TLS
            raise DirectoryRefused("the server sent plain text after it agreed to TLS")
        if self._transport is None or self._ended:
            raise DirectoryUnavailable("the server closed the connection")
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(self._transport, self, context, server_hostname=name)
        except (ssl.SSLError, OSError) as error:
            raise tls_failure(error) from error
        if transport is None:
            raise DirectoryUnavailable("the connection ended in the TLS handshake")
        self._transport = transport

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()


def tls_failure(error: Exception) -> DirectoryRefused | DirectoryUnavailable:
    """Return what a failed handshake means: a certificate that doesn't fit won't fit the next time."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return DirectoryRefused(f"the server's certificate is not to be trusted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return DirectoryRefused(f"TLS failed: {error.reason or 'no common version or cipher'}")
    return DirectoryUnavailable(
        f"TLS failed: {error.strerror or error}" if isinstance(error, OSError) else "TLS failed"
    )


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the file's certificates, or the machine's. Reads files: not for the event loop."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise DirectoryRefused(f"ca_file can't be used: {error.strerror or 'no certificate in it'}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def addresses(
    where: Endpoint, *, link_local: bool, loopback_only: bool, public_only: bool = False
) -> list[Address]:
    """Return where the host may be connected to.

    A name may point anywhere, so the addresses are looked at and not the name: never link-local ones, where clouds keep
    the credentials of the machine, unless that is allowed; never outside of this machine without TLS; and with
    `public_only` nothing that is beside us. Raises DirectoryUnavailable when the name isn't known, DirectoryRefused
    when none of its addresses is fit.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise DirectoryUnavailable(f"the name of the server is not known: {error.strerror or error}") from error
    fit = [
        address
        for address in dict.fromkeys(_plain(str(each[4][0])) for each in found)
        if _may(address, link_local=link_local)
        and (address.is_loopback or not loopback_only)
        and (address.is_global or not public_only)
    ]
    if not fit and public_only:
        raise DirectoryRefused("the server is not at a public address")
    if not fit:
        raise DirectoryRefused(
            "without TLS only a server on this machine is read"
            if loopback_only
            else "the server's address is link-local or no host's: GATEPOST_DIRECTORY_LINK_LOCAL allows the former"
        )
    return fit


def _plain(text: str) -> Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


_METADATA: Final = ipaddress.ip_address("fd00:ec2::254")  # where one cloud keeps them beside the link-local address


def _may(address: Address, *, link_local: bool) -> bool:
    if address.is_multicast or address.is_unspecified:
        return False
    return link_local or not (address.is_link_local or address == _METADATA)


async def connect(where: Endpoint, candidates: list[Address], context: ssl.SSLContext | None) -> Wire:
    """Return a connection to the first address that answers, in TLS from the first octet when `where` says so."""
    loop = asyncio.get_running_loop()
    failure = DirectoryUnavailable("no address")
    for address in candidates:
        try:
            _, wire = await loop.create_connection(
                Wire,
                str(address),
                where.port,
                ssl=context if where.tls_first else None,
                server_hostname=where.host if where.tls_first else None,
            )
        except ssl.SSLError as error:
            raise tls_failure(error) from error
        except OSError as error:
            failure = DirectoryUnavailable(f"no connection: {error.strerror or 'refused'}")
        else:
            return wire
    raise failure
