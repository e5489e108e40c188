"""What came and was not read yet: bounded, given back, emptied, interrupted."""

from __future__ import annotations

import asyncio

import pytest

from services.ingress.inlet import HIGH_WATER, Inlet, Interrupted, LineTooLong


class Tap:
    """Counts what an inlet asks of its transport."""

    def __init__(self) -> None:
        self.open = True
        self.inlet = Inlet(self.shut, self.reopen)

    def is_open(self) -> bool:
        return self.open

    def shut(self) -> None:
        assert self.open
        self.open = False

    def reopen(self) -> None:
        assert not self.open
        self.open = True


async def test_lines_come_with_their_ends_however_they_arrive() -> None:
    inlet = Tap().inlet
    inlet.feed(b"EHLO a\r\nNO")
    assert inlet.ready_line(100) == b"EHLO a\r\n"
    assert inlet.ready_line(100) is None
    waiting = asyncio.create_task(inlet.line(100))
    for octet in (b"O", b"P", b"\r", b"\n"):
        await asyncio.sleep(0)
        inlet.feed(octet)
    assert await waiting == b"NOOP\r\n"
    inlet.feed(b"bare\nrest")
    assert await inlet.line(100) == b"bare\n"
    inlet.feed_eof()
    assert await inlet.line(100) is None  # half a line is none


async def test_a_line_over_the_limit_is_skipped_up_to_its_end() -> None:
    inlet = Tap().inlet
    inlet.feed(b"x" * 11 + b"\nNOOP\r\n")
    with pytest.raises(LineTooLong):
        await inlet.line(10)
    assert await inlet.line(10) == b"NOOP\r\n"
    waiting = asyncio.create_task(inlet.line(10))
    for _ in range(1000):
        inlet.feed(b"y" * 10_000)
        await asyncio.sleep(0)
    inlet.feed(b"end\r\nQUIT\r\n")
    with pytest.raises(LineTooLong):
        await waiting
    assert await inlet.line(10) == b"QUIT\r\n"


async def test_what_nobody_reads_stays_with_the_client() -> None:
    tap = Tap()
    tap.inlet.feed(b"x" * HIGH_WATER)
    assert tap.is_open()
    tap.inlet.feed(b"x")
    assert not tap.is_open()
    assert len(await tap.inlet.chunk()) == HIGH_WATER + 1
    assert tap.is_open()


async def test_what_was_read_too_far_comes_first_again() -> None:
    inlet = Tap().inlet
    inlet.feed(b"body\r\n.\r\nQUIT\r\n")
    await inlet.chunk()
    inlet.feed(b"MORE\r\n")
    inlet.unread(b"QUIT\r\n")
    assert await inlet.line(100) == b"QUIT\r\n"
    assert await inlet.line(100) == b"MORE\r\n"


async def test_what_is_discarded_is_gone_and_room_again() -> None:
    tap = Tap()
    tap.inlet.feed(b"x" * (HIGH_WATER + 1))
    assert tap.inlet.discard() == HIGH_WATER + 1
    assert tap.is_open()
    assert tap.inlet.ready_line(10) is None


async def test_an_interruption_ends_a_wait_for_a_command_and_not_one_for_content() -> None:
    inlet = Tap().inlet
    waiting = asyncio.create_task(inlet.line(100))
    await asyncio.sleep(0)
    inlet.interrupt()
    with pytest.raises(Interrupted):
        await waiting
    content = asyncio.create_task(inlet.chunk())
    await asyncio.sleep(0)
    inlet.feed(b"x")
    assert await content == b"x"


async def test_the_end_of_input_is_an_empty_chunk() -> None:
    inlet = Tap().inlet
    inlet.feed(b"x")
    inlet.feed_eof()
    assert await inlet.chunk() == b"x"
    assert await inlet.chunk() == b""
