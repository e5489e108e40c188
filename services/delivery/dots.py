"""The octets that follow DATA (RFC 5321 section 4.5.2): dot-stuffed, in blocks, ended by the lone dot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

BLOCK: Final = 65_536  # octets made ready in one go; a larger block would hold up the event loop

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def blocks(parts: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the parts as they go over the wire. A message without a last line end gets one, as SMTP demands.

    What is stored has no bare CR or LF; one that is there all the same leaves as CRLF (RFC 5321 section 2.3.8): sent as
    it is, a lenient MTA could see the end of the message in it and take the rest for commands.
    """
    line_start = True
    held = b""  # a CR whose LF may lie in the next block
    for piece in _cut(parts):
        block = held + piece
        held = b""
        if block.endswith(b"\r"):
            block, held = block[:-1], b"\r"
        if not block:
            continue
        pairs = block.count(b"\r\n")
        if block.count(b"\n") != pairs or block.count(b"\r") != pairs:
            block = _BARE.sub(b"\r\n", block)
        stuffed = block.replace(b"\n.", b"\n..")
        yield b"." + stuffed if line_start and stuffed.startswith(b".") else stuffed
        line_start = block.endswith(b"\n")
    if held or not line_start:
        yield b"\r\n"
    yield b".\r\n"


def _cut(parts: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the parts in blocks, small neighbours together."""
    small: list[bytes] = []
    size = 0
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), BLOCK):
            piece = bytes(view[start : start + BLOCK])
            if size + len(piece) > BLOCK:
                yield b"".join(small)
                small, size = [], 0
            small.append(piece)
            size += len(piece)
    yield b"".join(small)
