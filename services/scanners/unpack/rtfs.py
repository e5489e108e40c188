"""RTF: the objects that lie in it as hexadecimal text, however it is broken up."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Final

from services.scanners.budget import Budget
from services.scanners.unpack.member import Member
from services.scanners.unpack.oles import native

_OBJECT = re.compile(rb"\\objdata((?:[0-9a-fA-F\s{}]|\\[a-zA-Z]{1,32}+-?\d{0,10}\s?|\\[^a-zA-Z])*+)")
_CONTROL = re.compile(rb"\\[a-zA-Z]{1,32}+-?\d{0,10}\s?|\\'[0-9a-fA-F]{2}|\\[^a-zA-Z]|[^0-9a-fA-F]")
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAX_OBJECTS: Final = 200


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield each object as it is, and the compound file or package in it."""
    for number, found in enumerate(_OBJECT.finditer(data), 1):
        if number > _MAX_OBJECTS:
            budget.stop(f"{shown}: more than {_MAX_OBJECTS} objects")
        digits = _CONTROL.sub(b"", found.group(1))
        content = budget.take(binascii.unhexlify(digits[: len(digits) & ~1]), shown)
        if (at := content.find(_OLE)) >= 0:
            yield Member(f"object {number}", content[at:], hidden=True)
        elif b"Package\0" in content and (packed := _package(content)) is not None:
            yield Member(packed[0], packed[1], hidden=True)
        yield Member(f"object {number}, as it stands", content, hidden=True)


def _package(content: bytes) -> tuple[str, bytes] | None:
    at = content.index(b"Package\0") + 8
    return native(b"\0" * 4 + content[at + 12 :])  # two empty names and a length stand where the stream has its own
