"""The built-in mailbox: takes everything, keeps the bytes, and says 250 only when it has them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiosmtplib
import pytest

from services.core.clock import ManualClock
from services.core.errors import StartError
from services.mailbox.app import listing, run
from services.mailbox.config import MailboxConfig, read
from services.mailbox.maildir import Delivered, deliver, prepare
from services.mailbox.server import Mailbox


@contextlib.asynccontextmanager
async def opened(folder: Path, clock: ManualClock | None = None) -> AsyncIterator[int]:
    mailbox = Mailbox(MailboxConfig(folder=str(folder), port=0), clock or ManualClock())
    port = await mailbox.start()
    try:
        yield port
    finally:
        await mailbox.close()


@contextlib.asynccontextmanager
async def client(port: int) -> AsyncIterator[aiosmtplib.SMTP]:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, timeout=10) as smtp:
        await smtp.ehlo()
        yield smtp


async def send(smtp: aiosmtplib.SMTP, sender: str, recipients: list[str], content: bytes) -> int:
    await smtp.execute_command(b"MAIL", f"FROM:<{sender}> BODY=8BITMIME SMTPUTF8".encode())
    for recipient in recipients:
        answer = await smtp.execute_command(b"RCPT", f"TO:<{recipient}>".encode())
        assert answer.code == 250
    return (await smtp.data(content)).code


async def test_messages_are_kept_byte_for_byte_with_their_envelopes_newest_last(tmp_path: Path) -> None:
    clock = ManualClock()
    odd = b"Subject: =?utf-8?b?w6RwZmVs?=\r\n\r\n.dot\r\n\xff\r\n" + b"x" * 200_000 + b"\r\n"
    async with opened(tmp_path, clock) as port, client(port) as smtp:
        assert {"8bitmime", "smtputf8", "size"} <= smtp.esmtp_extensions.keys()
        assert await send(smtp, "alice@sender.test", ["bob@example.test", '"a b"@example.test'], odd) == 250
        clock.advance(1)
        assert await send(smtp, "", ["jürgen@example.test"], b"no header\r\n") == 250
    first, second = listing(tmp_path)
    assert first.path.read_bytes() == odd
    assert (first.reverse_path, first.recipients) == ("alice@sender.test", ("bob@example.test", '"a b"@example.test'))
    assert (first.subject, first.size, first.received_at) == ("äpfel", len(odd), 1_700_000_000.0)
    assert (second.reverse_path, second.recipients, second.subject) == ("", ("jürgen@example.test",), "")


async def test_many_at_once_have_a_file_each(tmp_path: Path) -> None:
    async def one(port: int, number: int) -> None:
        async with client(port) as smtp:
            for part in range(5):
                assert await send(smtp, "a@b.test", ["c@d.test"], f"{number}/{part}\r\n".encode()) == 250

    async with opened(tmp_path) as port:
        await asyncio.gather(*(one(port, number) for number in range(10)))
    assert len({item.path.read_bytes() for item in listing(tmp_path)}) == 50
    assert not list((tmp_path / "tmp").iterdir())  # one small folder


async def test_an_ehlo_of_one_connection_changes_no_limit_of_another(tmp_path: Path) -> None:
    mailbox = Mailbox(MailboxConfig(folder=str(tmp_path), port=0), ManualClock())
    port = await mailbox.start()
    try:
        async with client(port), client(port) as two:
            tables = [connection.command_size_limits for connection in mailbox.connections]
            assert tables[0] is not tables[1]
            await two.ehlo()
            assert await send(two, "a@b.test", ["x" * 600 + "@example.test"], b"x\r\n") == 250
    finally:
        await mailbox.close()


async def test_what_can_not_be_written_is_refused_for_now(tmp_path: Path) -> None:
    async with opened(tmp_path / "box") as port, client(port) as smtp:
        (tmp_path / "box" / "tmp").rmdir()
        (tmp_path / "box" / "tmp").write_text("a file where the folder was")
        with pytest.raises(aiosmtplib.SMTPDataError) as refused:
            await send(smtp, "a@b.test", ["c@d.test"], b"x\r\n")
        assert refused.value.code == 451
        assert str(tmp_path) not in refused.value.message
    assert listing(tmp_path / "box") == []


async def test_it_stops_and_sends_its_clients_away(tmp_path: Path) -> None:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    config = read({"GATEPOST_MAILBOX_FOLDER": str(tmp_path), "GATEPOST_MAILBOX_PORT": str(port)})
    stop, ready = asyncio.Event(), asyncio.Event()
    service = asyncio.create_task(run(config, stop=stop, ready=ready.set))
    await asyncio.wait_for(ready.wait(), 10)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert (await reader.readline()).startswith(b"220")
    with pytest.raises(StartError, match="Address already in use"):
        await run(config, stop=stop, ready=ready.set)
    stop.set()
    assert (await reader.readline()).startswith(b"421")
    await asyncio.wait_for(service, 10)
    writer.close()


async def test_a_folder_that_can_not_be_had_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"mailbox can't be kept in .*: Not a directory"):
        async with opened(tmp_path / "file"):
            pass


def test_a_mail_program_may_move_and_delete(tmp_path: Path) -> None:
    assert listing(tmp_path) == []
    prepare(tmp_path)
    for number, name in enumerate(("one", "two", "three")):
        delivered = Delivered(reverse_path="a@b.test", recipients=("c@d.test",), received_at=float(number))
        deliver(tmp_path, name, b"Subject: " + name.encode() + b"\r\n\r\n", delivered, sync=False)
    (tmp_path / "new" / "one").rename(tmp_path / "cur" / "one:2,S")
    (tmp_path / "new" / "two").unlink()
    (tmp_path / "new" / "copied").write_bytes(b"Subject: =?bogus?q?x?=\r\n\r\n")
    assert [(item.subject, item.recipients) for item in listing(tmp_path)] == [
        ("one", ("c@d.test",)),
        ("three", ("c@d.test",)),
        ("=?bogus?q?x?=", ()),
    ]
