"""A sending MTA for tests: many connections, and a note of every reply."""

from __future__ import annotations

import asyncio
import dataclasses
import email.message
from collections.abc import Sequence

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """The last answer that a message got; code 0 when the connection was lost before."""

    code: int
    text: str
    seconds: float


def plain(subject: str, body: str = "Hello Bob,\r\n\r\nthe minutes of Monday's meeting are below.\r\n") -> bytes:
    """Return an ordinary message."""
    return (
        f"From: Alice <alice@sender.test>\r\nTo: Bob <bob@example.test>\r\nSubject: {subject}\r\n"
        f"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{subject.replace(' ', '.')}@sender.test>\r\n"
        f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}"
    ).encode()


def with_attachment(subject: str, name: str, content: bytes) -> bytes:
    """Return a message with one attachment, base64."""
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = "Alice <alice@sender.test>", "bob@example.test", subject
    message["Date"], message["Message-ID"] = "Mon, 23 Nov 2026 10:00:00 +0000", f"<{name}@sender.test>"
    message.set_content("See the attachment.\n")
    message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


async def send(
    port: int,
    message: bytes,
    recipients: Sequence[str] = ("bob@example.test",),
    reverse_path: str = "alice@sender.test",
    within: float = 30.0,
) -> Reply:
    """Send one message over a connection of its own."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    code, text = 0, "connection lost"
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                code, text = await _session(reader, writer, message, recipients, reverse_path)
            finally:
                writer.close()
    except ConnectionRefusedError:
        text = "connection refused"
    except (OSError, asyncio.IncompleteReadError):
        code, text = 0, "connection lost"
    return Reply(code, text, loop.time() - began)


async def _session(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    message: bytes,
    recipients: Sequence[str],
    reverse_path: str,
) -> tuple[int, str]:
    code, text = await _reply(reader)
    commands = ["EHLO sender.test", f"MAIL FROM:<{reverse_path}>", *(f"RCPT TO:<{r}>" for r in recipients), "DATA"]
    for command in commands:
        if code >= 400:
            return code, text
        writer.write(f"{command}\r\n".encode())
        code, text = await _reply(reader)
    if code != 354:
        return code, text
    body = message if message.endswith(b"\r\n") else message + b"\r\n"
    stuffed = (b"." + body if body.startswith(b".") else body).replace(b"\r\n.", b"\r\n..")
    writer.write(stuffed + b".\r\n")
    await writer.drain()
    code, text = await _reply(reader)
    writer.write(b"QUIT\r\n")
    return code, text


async def _reply(reader: asyncio.StreamReader) -> tuple[int, str]:
    while True:
        line = await reader.readuntil(b"\n")
        if line[3:4] != b"-":
            return int(line[:3]), line.decode("ascii", "replace").strip()
