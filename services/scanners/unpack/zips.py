"""Zip archives, read twice: by their directory, and by what lies between. What one of them shows is unpacked."""

from __future__ import annotations

import bisect
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final

from services.scanners.budget import Budget
from services.scanners.unpack.member import Member

_ENCRYPTED: Final = 0x1
_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_STORED, _DEFLATED = 0, 8
_USUAL: Final = frozenset({_STORED, _DEFLATED})  # other ways of packing are not known to every engine
_MAX_LOOSE: Final = 200  # members that no directory names
_ERRORS: Final = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield the members that the directory names, then those that it doesn't."""
    known: dict[int, int] = {}  # where a member begins → octets that it is packed in
    broken: Exception | None = None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                known[info.header_offset] = info.compress_size
                if not info.is_dir():
                    yield _named(archive, info, shown, budget)
    except _ERRORS as error:
        broken = error
    yield from _loose(data, known, shown, budget, whole=broken is not None)
    if broken is not None:
        budget.note("ARCHIVE_BROKEN", f"{shown}: {type(broken).__name__}")


def _named(archive: zipfile.ZipFile, info: zipfile.ZipInfo, shown: str, budget: Budget) -> Member:
    label = f"{shown}/{info.filename[:80]}"
    if info.flag_bits & _ENCRYPTED:
        budget.note("ARCHIVE_ENCRYPTED", f"{label} is encrypted")
        return Member(info.filename, sealed=True)
    try:
        with archive.open(info) as file:
            content = budget.read(file, label, info.compress_size)
        return Member(info.filename, content, hidden=info.compress_type not in _USUAL)
    except NotImplementedError:
        budget.note("ARCHIVE_UNREAD", f"{label} is packed in a way that can't be undone here")
    except _ERRORS as error:
        budget.note("ARCHIVE_BROKEN", f"{label}: {type(error).__name__}")
    return Member(info.filename, sealed=True)


def _loose(data: bytes, known: dict[int, int], shown: str, budget: Budget, *, whole: bool) -> Iterator[Member]:
    """Yield what local headers show and the directory doesn't: cut archives, two in one, and those made to deceive."""
    starts = [*sorted(known), len(data)]
    at = data.find(b"PK\x03\x04")
    found = 0
    while at >= 0:
        budget.check(shown)
        end = at + 4
        if at in known:
            end = min(_after(data, at, known), starts[bisect.bisect_right(starts, at)])  # sizes may lie
        elif at + _LOCAL.size <= len(data):
            member, end = _local(data, at, shown, budget)
            if member is not None:
                found += 1
                if found > _MAX_LOOSE:
                    budget.stop(f"{shown}: more than {_MAX_LOOSE} files that no directory names")
                if not whole:
                    budget.note("ARCHIVE_DISAGREES", f"{shown} holds files that its directory does not name")
                yield member
        at = data.find(b"PK\x03\x04", end)


def _after(data: bytes, at: int, known: dict[int, int]) -> int:
    """Return where a member that the directory names ends."""
    if at + _LOCAL.size > len(data):
        return at + 4
    name_length, extra_length = _LOCAL.unpack_from(data, at)[-2:]
    return max(at + 4, at + _LOCAL.size + int(name_length) + int(extra_length) + known[at])


def _local(data: bytes, at: int, shown: str, budget: Budget) -> tuple[Member | None, int]:
    """Return what begins with the local header, None for what is none, and where to look on."""
    _, _, flags, method, _, _, _, packed, _, name_length, extra_length = _LOCAL.unpack_from(data, at)
    start = at + _LOCAL.size + name_length + extra_length
    raw_name = data[at + _LOCAL.size : at + _LOCAL.size + name_length]
    if not raw_name or b"\0" in raw_name or start > len(data) or raw_name.endswith(b"/"):
        return None, at + 4
    name = raw_name.decode("utf-8", "replace")
    if flags & _ENCRYPTED:
        budget.note("ARCHIVE_ENCRYPTED", f"{shown}/{name[:80]} is encrypted")
        return Member(name, sealed=True, hidden=True), start
    if method == _STORED:
        end = start + packed if packed else max(start, data.find(b"PK", start))
        return Member(name, budget.take(data[start:end], shown), hidden=True), max(end, at + 4)
    if method != _DEFLATED:
        return None, at + 4
    packed_view = _Inflated(memoryview(data)[start:])
    try:
        content = budget.read(packed_view, f"{shown}/{name[:80]}", packed or len(data) - start)
    except zlib.error:
        return (Member(name, packed_view.so_far, hidden=True), at + 4) if packed_view.so_far else (None, at + 4)
    return Member(name, content, hidden=True), max(at + 4, start + packed_view.used)


class _Inflated:
    """Deflated octets as a file; how many were used is known afterwards."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self.so_far = b""

    @property
    def used(self) -> int:
        return self._at - len(self._inflate.unused_data)

    def read(self, size: int, /) -> bytes:
        while not self._inflate.eof:
            pending = self._inflate.unconsumed_tail
            if not pending:
                pending = bytes(self._view[self._at : self._at + 65_536])
                self._at += len(pending)
                if not pending:
                    return b""
            piece = self._inflate.decompress(pending, size)
            if piece:
                self.so_far = self.so_far or piece
                return piece
        return b""
