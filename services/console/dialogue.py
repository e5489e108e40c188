"""The delivery test: one SMTP transaction with a customer's MTA, written down line by line for a person to read.

It goes by the customer's own settings and asks for nothing that delivery doesn't, but it is apart from delivery: a host
that hangs holds up nobody's mail.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from schemas.events import Host
from services.core.errors import DnsUnavailable
from services.core.headers import field
from services.core.outside import is_public
from services.runtime.dns import Dns
from services.runtime.streams import send

WITHIN: Final = 30.0  # seconds for all of it
CONNECT: Final = 8.0
REPLY: Final = 15.0
LINE_MOST: Final = 1_000  # octets of a reply line that are read
LINES_MOST: Final = 60  # of one reply
SHOWN: Final = 400  # characters of a line that are shown


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line: `*` what we did, `>` what we said, `<` what the host said."""

    mark: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """How it went."""

    good: bool
    lines: tuple[Line, ...]


class _EndedError(Exception):
    """The dialogue can't go on; the last line says why."""


class Dialogue:
    """Speaks with hosts that customers name."""

    def __init__(self, dns: Dns, hostname: str, *, private: bool = False) -> None:
        """`private`: hosts may have private addresses; otherwise a customer could knock at our own network's doors."""
        self._dns = dns
        self._hostname = hostname
        self._private = private

    async def test(self, host: Host, recipient: str, now: float, identity: str) -> Report:
        """Return how one test message to the recipient went."""
        lines: list[Line] = []
        good = False
        try:
            async with asyncio.timeout(WITHIN):
                good = await self._test(host, recipient, now, identity, lines)
        except TimeoutError:
            lines.append(Line("*", f"no answer in time; all of it may take {WITHIN:.0f} s"))
        except _EndedError:
            pass
        except (OSError, ssl.SSLError) as error:
            lines.append(Line("*", _shown(str(error) or type(error).__name__)))
        return Report(good, tuple(lines))

    async def _test(self, host: Host, recipient: str, now: float, identity: str, lines: list[Line]) -> bool:
        for name, port in await self._expand(host, lines):
            for address in await self._addresses(name, lines):
                lines.append(Line("*", f"connecting to {name} [{address}] port {port}"))
                try:
                    async with self._connected(address, port) as session:
                        return await self._talk(session, host, name, recipient, now, identity, lines)
                except (ConnectionError, TimeoutError, OSError) as error:
                    lines.append(Line("*", _shown(str(error) or "no connection in time")))
        lines.append(Line("*", "no host could be reached"))
        return False

    async def _expand(self, host: Host, lines: list[Line]) -> Sequence[tuple[str, int]]:
        if not host.lookup:
            return [(host.host, host.port)]
        try:
            answer = await self._dns.resolve(host.host, host.lookup.upper())
        except DnsUnavailable as error:
            lines.append(Line("*", _shown(str(error))))
            raise _EndedError from error
        lines.append(Line("*", f"{host.lookup.upper()} {host.host}: {', '.join(map(str, answer)) or 'no such record'}"))
        records = sorted((str(text).split() for text in answer), key=lambda parts: int(parts[0]))
        if host.lookup == "mx":
            return [(parts[1], host.port) for parts in records if parts[1] != "."]
        return [(parts[3].rstrip("."), int(parts[2])) for parts in records]

    async def _addresses(self, name: str, lines: list[Line]) -> list[str]:
        try:
            found = [ipaddress.ip_address(name)]
        except ValueError:
            try:
                texts = [*await self._dns.resolve(name, "AAAA"), *await self._dns.resolve(name, "A")]
            except DnsUnavailable as error:
                lines.append(Line("*", _shown(str(error))))
                return []
            found = [ipaddress.ip_address(str(text)) for text in texts]
        if not found:
            lines.append(Line("*", f"{name} has no address"))
        allowed = [address for address in found if self._private or is_public(str(address))]
        if found and not allowed:
            lines.append(Line("*", f"{name} has private addresses only, which this service does not connect to"))
        return [str(address) for address in allowed]

    @contextlib.asynccontextmanager
    async def _connected(self, address: str, port: int) -> AsyncIterator[_Wire]:
        async with asyncio.timeout(CONNECT):
            reader, writer = await asyncio.open_connection(address, port, limit=LINE_MOST * 4)
        try:
            yield _Wire(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()

    async def _talk(
        self, wire: _Wire, host: Host, name: str, recipient: str, now: float, identity: str, lines: list[Line]
    ) -> bool:
        await wire.expect(lines, 220)
        offered = await wire.say(lines, f"EHLO {self._hostname}", 250)
        if host.tls != "none" and any(line[4:].strip().upper() == "STARTTLS" for line in offered):
            await wire.say(lines, "STARTTLS", 220)
            verified = host.tls == "verified"
            await wire.start_tls(_context(verified=verified), name)
            lines.append(Line("*", wire.tls + ("" if verified else ", certificate not checked")))
            await wire.say(lines, f"EHLO {self._hostname}", 250)
        elif host.tls in {"required", "verified", "pinned"}:
            lines.append(Line("*", f"the host offers no STARTTLS, and these settings ask for it ({host.tls})"))
            return False
        await wire.say(lines, "MAIL FROM:<>", 250)
        await wire.say(lines, f"RCPT TO:<{recipient}>", 250)
        await wire.say(lines, "DATA", 354)
        lines.append(Line(">", "(a test message)"))
        await wire.send(_message(recipient, self._hostname, now, identity) + b".\r\n")
        await wire.expect(lines, 250)
        with contextlib.suppress(_EndedError, OSError, TimeoutError):
            await wire.say(lines, "QUIT", 221)
        return True


class _Wire:
    """Lines both ways, bounded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.tls = ""

    async def say(self, lines: list[Line], command: str, code: int) -> list[str]:
        """Return the reply's lines; raise _EndedError when it is not of that code."""
        lines.append(Line(">", command))
        await self.send(f"{command}\r\n".encode())
        return await self.expect(lines, code)

    async def send(self, octets: bytes) -> None:
        send(self._writer, octets)
        await self._writer.drain()

    async def expect(self, lines: list[Line], code: int) -> list[str]:
        found: list[str] = []
        async with asyncio.timeout(REPLY):
            while len(found) < LINES_MOST:
                try:
                    octets = await self._reader.readline()
                except ValueError as error:  # longer than the stream's limit
                    lines.append(Line("*", "the host sent a line without an end"))
                    raise _EndedError from error
                if not octets:
                    lines.append(Line("*", "the host closed the connection"))
                    raise _EndedError
                found.append(octets[:LINE_MOST].decode("utf-8", "replace").rstrip("\r\n"))
                lines.append(Line("<", _shown(found[-1])))
                if found[-1][3:4] != "-":
                    break
        if found[-1][:3] != str(code):
            raise _EndedError
        return found

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        await self._writer.start_tls(context, server_hostname=name)
        secured = self._writer.get_extra_info("ssl_object")
        self.tls = f"{secured.version()} {secured.cipher()[0]}"


def _context(*, verified: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verified:  # opportunistic: encryption without a name to hold it to is better than none (RFC 7435)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _message(recipient: str, hostname: str, now: float, identity: str) -> bytes:
    return b"".join(
        [
            field("From", f"Gatepost <postmaster@{hostname}>"),
            field("To", recipient),
            field("Subject", "Gatepost delivery test"),
            field("Date", format_datetime(datetime.fromtimestamp(now, UTC))),
            field("Message-ID", f"<{identity}@{hostname}>"),
            field("Auto-Submitted", "auto-generated"),
            b"\r\nThis message shows that your mail server takes mail from Gatepost.\r\n",
        ]
    )


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:SHOWN]
