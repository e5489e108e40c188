"""What lies in a zip archive, and in the archives in it, within limits that are noticed when they are met."""

from __future__ import annotations

import dataclasses
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final

from services.scanners.text import clean

MAX_DEPTH: Final = 4
MAX_MEMBERS: Final = 1000  # of all archives of a message
MAX_OCTETS: Final = 104_857_600  # unpacked, of all archives of a message
MAX_RATIO: Final = 200  # unpacked to packed, of a member of more than RATIO_FROM octets
RATIO_FROM: Final = 1_048_576

_UNREADABLE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,  # bz2
    NotImplementedError,  # a way of packing that the standard library hasn't
    RuntimeError,  # an encrypted member
    ValueError,
    OverflowError,
)
_ENCRYPTED: Final = 0x1


@dataclasses.dataclass(slots=True)
class Budget:
    """What is left for one message, and what was met on the way: code → text for a person."""

    members: int = MAX_MEMBERS
    octets: int = MAX_OCTETS
    met: dict[str, str] = dataclasses.field(default_factory=dict)

    def note(self, code: str, text: str) -> None:
        self.met.setdefault(code, clean(text))


def is_zip(data: bytes) -> bool:
    """Return whether a reader would take the octets for a zip archive, with or without something before it."""
    return data.startswith(b"PK\x03\x04") or data.rfind(b"PK\x05\x06", max(0, len(data) - 65_557)) >= 0


def unpack(data: bytes, name: str, budget: Budget, depth: int = 1) -> Iterator[tuple[str, bytes]]:
    """Yield name and octets of each member, those of nested archives after their archive. Never raises.

    A limit that is met notes ARCHIVE_LIMIT in the budget and ends the unpacking; what can't be read is noted too.
    """
    if depth > MAX_DEPTH:
        budget.note("ARCHIVE_LIMIT", f"{name}: archives nested more than {MAX_DEPTH} deep")
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                if "ARCHIVE_LIMIT" in budget.met:
                    return
                if not member.is_dir():
                    yield from _member(archive, member, name, budget, depth)
    except _UNREADABLE as error:
        budget.note("ARCHIVE_BROKEN", f"{name}: {type(error).__name__}")


def _member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, budget: Budget, depth: int
) -> Iterator[tuple[str, bytes]]:
    shown = f"{name}/{clean(member.filename, 80)}"
    budget.members -= 1
    if budget.members < 0 or budget.octets <= 0:
        budget.note("ARCHIVE_LIMIT", f"{name}: more than {MAX_MEMBERS} files or {MAX_OCTETS} octets")
        return
    if member.flag_bits & _ENCRYPTED:
        budget.note("ARCHIVE_ENCRYPTED", f"{shown} is encrypted")
        return
    most = min(budget.octets, max(RATIO_FROM, member.compress_size * MAX_RATIO))
    try:
        with archive.open(member) as file:
            content = file.read(most + 1)
    except _UNREADABLE as error:
        budget.note("ARCHIVE_BROKEN", f"{shown}: {type(error).__name__}")
        return
    budget.octets -= len(content)
    if len(content) > most:
        budget.note("ARCHIVE_LIMIT", f"{shown} unpacks to more than {most} octets")
        content = content[:most]
    yield shown, content
    if is_zip(content):
        yield from unpack(content, shown, budget, depth + 1)
