"""winmail.dat: TNEF ([MS-OXTNEF]), the attachments and bodies in it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from services.scanners.budget import Budget
from services.scanners.unpack.member import Member

_ATTRIBUTE: Final = struct.Struct("<BII")
_TITLE, _DATA, _RENDER, _BODY = 0x00018010, 0x0006800F, 0x00069002, 0x0002800C
_PROPERTIES, _MESSAGE_PROPERTIES = 0x00069005, 0x00069003


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield each attachment by its title, and what the properties of message and attachments hold as it stands."""
    at = 6
    title = ""
    while at + _ATTRIBUTE.size <= len(data):
        budget.check(shown)
        _, tag, size = _ATTRIBUTE.unpack_from(data, at)
        value = data[at + _ATTRIBUTE.size : at + _ATTRIBUTE.size + size]
        at += _ATTRIBUTE.size + size + 2
        if tag == _RENDER:
            title = ""
        elif tag == _TITLE:
            title = value.partition(b"\0")[0].decode("utf-8", "replace")
        elif tag == _DATA:
            title = title or _title_after(data, at)
            yield Member(title or "attachment", budget.take(value, shown), hidden=True)
        elif tag == _BODY:
            yield Member("body", budget.take(value, shown), hidden=True)
        elif tag in {_PROPERTIES, _MESSAGE_PROPERTIES}:
            yield Member("properties", budget.take(value, shown), hidden=True)
    if at > len(data) + 2:
        budget.note("ARCHIVE_BROKEN", f"{shown} ends too early")


def _title_after(data: bytes, at: int) -> str:
    """Return the title of the attachment whose data came first: Outlook writes it behind."""
    while at + _ATTRIBUTE.size <= len(data):
        _, tag, size = _ATTRIBUTE.unpack_from(data, at)
        if tag == _RENDER:
            break
        if tag == _TITLE:
            value = data[at + _ATTRIBUTE.size : at + _ATTRIBUTE.size + size]
            return value.partition(b"\0")[0].decode("utf-8", "replace")
        at += _ATTRIBUTE.size + size + 2
    return ""
