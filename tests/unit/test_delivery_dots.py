"""Dot-stuffing: what a receiver undoes gives the message again, and no message can end early."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.dots import BLOCK, blocks


def sent(*parts: bytes) -> bytes:
    return b"".join(blocks(parts))


def read(wire: bytes) -> bytes:
    """Do what RFC 5321 section 4.5.2 asks of a receiver, line by line."""
    lines = wire.split(b"\r\n")
    assert lines.pop() == b""
    assert lines.pop() == b"."
    assert b"." not in lines
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.\r\n..\r\n.b\r\n", b"a\r\n..\r\n...\r\n..b\r\n.\r\n"),
        (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r", b"a\r\n.\r\n"),
        (b"\r\n\r\n", b"\r\n\r\n.\r\n"),
    ],
)
def test_what_goes_over_the_wire(message: bytes, wire: bytes) -> None:
    assert sent(message) == wire


pieces = st.lists(st.sampled_from([b"\r\n", b".", b"a", b"\xff", b"\r\n.", b"x" * (BLOCK - 3)]), max_size=12)


@given(st.lists(pieces, max_size=5))
def test_a_receiver_gets_the_message(parts: list[list[bytes]]) -> None:
    joined = [b"".join(part) for part in parts]
    message = b"".join(joined)
    want = message if message.endswith(b"\r\n") or not message else message + b"\r\n"
    assert read(sent(*joined)) == want


@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"y" * (BLOCK - 2)]), max_size=12))
def test_no_message_ends_early_for_anybody(part: list[bytes]) -> None:
    wire = sent(b"".join(part))
    assert wire.endswith(b".\r\n")
    body = b"\n" + wire[:-3]
    assert re.search(rb"[\r\n]\.[\r\n]", body) is None
    assert re.search(rb"\r(?!\n)|(?<!\r)\n", body[1:]) is None


def test_blocks_are_bounded_and_few() -> None:
    sizes = [len(block) for block in blocks([b"head\r\n", b"x" * (3 * BLOCK)])]
    assert max(sizes) <= BLOCK + 2
    assert len(sizes) <= 6
