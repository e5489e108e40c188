"""A real SMTP server on loopback that behaves as a test says. It reads as strictly as RFC 5321 section 4.5.2."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from schemas.events import Host
from services.delivery.decide import Stage
from services.delivery.fakes import Answer, Arrived, Manners

Tls = Literal["none", "fine", "refused", "broken"]


class LoopbackMta:
    """Listens on 127.0.0.1. `manners` and `tls` may change while it runs."""

    def __init__(self, manners: Manners | None = None, *, tls: Tls = "none", certificate: Path | None = None) -> None:
        self.manners = manners or Manners()
        self.tls = tls
        self.arrived: list[Arrived] = []
        self.commands: list[str] = []
        self.connections = 0
        self.peers: list[str] = []  # addresses of who connected
        self.early: Answer | None = None  # said after the first octets of a message, which is then not read further
        self.certificate = certificate
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def host(self) -> Host:
        return Host(host="127.0.0.1", port=self.port)

    @property
    def talking(self) -> int:
        """Return how many connections it has."""
        return len(self._tasks)

    async def start(self) -> None:
        """Listen, on the port of the last time where there was one."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=1 << 22)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections and cut those that are there."""
        if self._server is None:
            return
        self._server.close()
        await self._server.wait_closed()
        self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        self.peers.append(writer.get_extra_info("peername")[0])
        try:
            await Conversation(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 2.0)
            self._tasks.discard(task)

    def context(self) -> ssl.SSLContext:
        assert self.certificate is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        return context


class Conversation:
    """One connection."""

    def __init__(self, mta: LoopbackMta, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._mta = mta
        self._reader = reader
        self._writer = writer
        self._encrypted = False
        self._sender: tuple[str, frozenset[str]] | None = None
        self._recipients: list[str] = []

    async def run(self) -> None:
        if not await self._say(self._mta.manners.greeting) or self._mta.manners.greeting[0] != 220:
            return
        while line := await self._reader.readline():
            assert line.endswith(b"\r\n"), line
            text = line[:-2].decode()
            self._mta.commands.append(text)
            if not await self._obey(text):
                return

    async def _say(self, answer: Answer, stage: Stage | None = None) -> bool:
        """Return whether the connection goes on."""
        if stage is not None and self._mta.manners.hang_up is stage:
            return False
        self._writer.write(b"%d %s\r\n" % (answer[0], answer[1].encode()))
        await self._writer.drain()
        return answer[0] != 421

    async def _obey(self, text: str) -> bool:
        match text[:4].upper():
            case "EHLO":
                done = await self._ehlo()
            case "STAR":
                done = await self._starttls()
            case "MAIL":
                done = await self._mail(text)
            case "RCPT":
                done = await self._rcpt(text)
            case "DATA":
                done = await self._data()
            case "RSET":
                self._sender, self._recipients = None, []
                done = await self._say((250, "2.0.0 reset"))
            case "QUIT":
                await self._say((221, "2.0.0 bye"))
                done = False
            case _:
                done = await self._say((502, "5.5.1 unknown"))
        return done

    async def _ehlo(self) -> bool:
        offers = list(self._mta.manners.extensions)
        if self._mta.tls != "none" and not self._encrypted:
            offers.append("STARTTLS")
        lines = ["mta.test", *offers]
        last = lines.pop()
        self._writer.write("".join(f"250-{line}\r\n" for line in lines).encode() + f"250 {last}\r\n".encode())
        await self._writer.drain()
        return True

    async def _starttls(self) -> bool:
        if self._mta.tls == "refused":
            return await self._say((454, "4.7.0 TLS not available"))
        await self._say((220, "go ahead"))
        if self._mta.tls == "broken":
            self._writer.write(b"this is no TLS record at all\r\n")
            await self._writer.drain()
            return False
        await self._writer.start_tls(self._mta.context())
        self._encrypted = True
        return True

    async def _mail(self, text: str) -> bool:
        if self._sender is not None:
            return await self._say((503, "5.5.1 nested MAIL"))
        path, _, parameters = text.removeprefix("MAIL FROM:<").rpartition(">")
        if self._mta.manners.mail[0] == 250:
            self._sender = path, frozenset(parameters.upper().split())
        return await self._say(self._mta.manners.mail, Stage.MAIL)

    async def _rcpt(self, text: str) -> bool:
        assert self._sender is not None
        path = text.removeprefix("RCPT TO:<").removesuffix(">")
        manners = self._mta.manners
        full = len(self._recipients) >= manners.most_recipients
        answer = manners.recipients.get(path, (452, "4.5.3 too many") if full else (250, "2.1.5 fine"))
        if answer[0] == 250:
            self._recipients.append(path)
        return await self._say(answer, Stage.RCPT)

    async def _data(self) -> bool:
        manners = self._mta.manners
        if not self._recipients or self._sender is None:
            return await self._say((503, "5.5.1 no recipient"))
        if not await self._say(manners.data, Stage.DATA):
            return False
        if manners.data[0] != 354:
            return True
        if self._mta.early is not None:
            await self._reader.readexactly(1)
            await self._say(self._mta.early)
            await asyncio.sleep(0.2)
            return False
        content = await self._content()
        sender, parameters = self._sender
        if manners.takes and (manners.hang_up is Stage.FINAL or manners.final[0] == 250):
            self._mta.arrived.append(Arrived(sender, tuple(self._recipients), content, parameters))
        self._sender, self._recipients = None, []
        return await self._say(manners.final, Stage.FINAL)

    async def _content(self) -> bytes:
        """Read to the lone dot, and undo the stuffing."""
        lines = []
        while (line := await self._reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)


@contextlib.asynccontextmanager
async def running(mta: LoopbackMta) -> AsyncIterator[LoopbackMta]:
    """Run the MTA for the length of a block."""
    await mta.start()
    try:
        yield mta
    finally:
        await mta.stop()


def make_certificate(path: Path) -> Path:
    """Write a self-signed certificate that nobody should trust, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody.else.test")])
    start = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))  # long past: no validation is what is tested
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
