"""The bench's two ends against each other: what it reports must be what happened."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from bench.dns import NameServer, answer
from bench.ledger import Ledger, percentile
from bench.load import NoConnectionError, closed_loop, open_loop
from bench.messages import Message, load, message, stuffed, unstuffed
from bench.sink import Sink
from bench.usage import tree

MESSAGES = [
    message(b"Subject: one\n\nHello\n.\n..\n.dot\n"),
    message(b"Subject: two\r\n\r\n"),
    message("Subject: drei\n\nGrüße\n".encode()),
]


def ledger(count: int = 30, run: int = 7) -> Ledger:
    return Ledger(run, MESSAGES, count, "example.test")


async def deliver(port: int, *contents: bytes) -> None:
    """Relay messages over one connection as an MTA that pipelines."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for content in contents:
        writer.write(b"MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nDATA\r\n" + stuffed(content) + b".\r\n")
    writer.write(b"QUIT\r\n")
    await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()


async def test_all_arrives_unchanged_over_many_connections() -> None:
    account = ledger(250)
    async with Sink() as sink:
        sink.note = account.note
        await closed_loop(sink.port, 2, account.entries)  # 125 each: over 100, so connections are exchanged on the way
        await account.settled(5, 0)
    figures = account.figures()
    assert (figures.sent, figures.accepted, figures.arrived, figures.lost) == (250, 250, 250, 0)
    assert (figures.refused, figures.twice, figures.changed, account.strange) == (0, 0, 0, 0)
    assert len(figures.accept_ms) == len(figures.end_to_end_ms) == 250
    assert figures.end_to_end_ms[0] > 0


async def test_the_open_loop_keeps_its_rate() -> None:
    account = ledger(20)
    async with Sink() as sink:
        sink.note = account.note
        await open_loop(sink.port, 100, account.entries)
        await account.settled(5, 0)
    starts = [entry.started for entry in account.entries]
    assert starts == sorted(starts)
    assert starts[-1] - starts[0] > 0.15  # 19 gaps of 10 ms, less what a late first one may take off
    assert account.figures().arrived == 20


async def test_lost_twice_changed_and_strange_are_told_apart() -> None:
    account = ledger(5)
    for entry in account.entries:
        entry.code, entry.started, entry.replied = 250, 1.0, 2.0
    account.entries[4].code = 451
    above = b"Received: from x\r\n"
    good, again, altered, _, _ = (above + entry.tag + entry.message.content for entry in account.entries)
    async with Sink() as sink:
        sink.note = account.note
        await deliver(sink.port, good, again, again, altered[:-1] + b"!\r\n", above + b"X-Bench-Id: 6-1\r\n\r\n")
    figures = account.figures()
    assert (figures.accepted, figures.arrived, figures.lost, figures.refused) == (4, 3, 1, 1)
    assert (figures.twice, figures.changed, account.strange) == (1, 1, 1)


async def test_a_changed_header_below_the_tag_counts_as_changed() -> None:
    account = ledger(1)
    async with Sink() as sink:
        sink.note = account.note
        await deliver(sink.port, account.entries[0].tag + MESSAGES[7 % 3].content.replace(b"two", b"[SPAM] two"))
    assert account.figures().changed == 1


async def test_a_refused_message_and_a_lost_connection_are_not_accepted() -> None:
    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        replies = iter((b"250-x\r\n250 y\r\n", b"451 4.3.0 later\r\n"))
        while await reader.readline():
            reply = next(replies, b"")
            if not reply:
                break
            writer.write(reply)
        writer.close()

    account = ledger(3)
    server = await asyncio.start_server(busy, "127.0.0.1", 0)
    async with server:
        await closed_loop(server.sockets[0].getsockname()[1], 1, account.entries)
    figures = account.figures()
    assert (figures.accepted, figures.refused, figures.lost) == (0, 3, 0)
    assert {entry.reply for entry in account.entries} == {"451 4.3.0 later"}


async def test_nobody_listening_is_said() -> None:
    async with Sink() as sink:
        port = sink.port
    with pytest.raises(NoConnectionError, match=str(port)):
        await closed_loop(port, 1, ledger(1).entries)


async def test_the_name_server_knows_no_name() -> None:
    async with NameServer() as names:
        host, _, port = names.address.partition(":")
        query = dns.message.make_query("_dmarc.example.test", "TXT", use_edns=0)
        reply = await dns.asyncquery.udp(query, host, 5, int(port))
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert names.asked == 1
    assert answer(b"\0" * 12) is None
    assert answer(query.to_wire()[:20]) is None


def test_the_folder_is_read_in_an_order_that_repeats(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}").write_bytes(b"From a@b Mon\nSubject: %d\n\n.x" % number)
    (tmp_path / "nul").write_bytes(b"a\0b")
    (tmp_path / "large").write_bytes(b"x" * 200_001)
    (tmp_path / "empty").write_bytes(b"")
    found = load(tmp_path)
    assert len(found) == 20
    assert found == load(tmp_path)
    assert Message(b"Subject: 3\r\n\r\n.x\r\n", b"Subject: 3\r\n\r\n..x\r\n.\r\n") in found
    assert all(unstuffed(stuffed(each.content)) == each.content for each in found)


def test_percentile_is_the_nearest_rank() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert percentile([5.0], 0.5) == 5


def test_a_tree_is_the_process_and_what_descends_from_it() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()', 'run', 'ingress'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        try:
            deadline = 200
            while "ingress" not in (parts := tree(child.pid)) and deadline:
                deadline -= 1
                os.sched_yield()
                subprocess.run(["sleep", "0.05"], check=True)
            assert set(parts) == {"supervisor", "ingress"}
            assert parts["ingress"].rss > 1_000_000
        finally:
            child.communicate(b"\n", timeout=10)
