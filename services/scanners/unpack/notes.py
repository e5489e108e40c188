"""OneNote sections ([MS-ONESTORE] 2.6.13): the files that lie in them, each behind a mark of its own."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from services.scanners.budget import Budget
from services.scanners.unpack.member import Member

_MARK: Final = bytes.fromhex("e716e3bd65261145a4c48d4d0b7a9eac")
_HEADER: Final = 36  # octets before the file: the mark, its length, and what is unused


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield the embedded files; their names lie elsewhere, so they are numbered."""
    at = data.find(_MARK)
    number = 0
    while at >= 0 and at + _HEADER <= len(data):
        number += 1
        (size,) = struct.unpack_from("<Q", data, at + 16)
        content = data[at + _HEADER : at + _HEADER + min(size, len(data))]
        yield Member(f"embedded file {number}", budget.take(content, shown), hidden=True)
        at = data.find(_MARK, at + _HEADER)
