"""Microsoft cabinets ([MS-CAB]): stored and MSZIP folders; those packed by LZX or Quantum give their names."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from services.scanners.budget import Budget
from services.scanners.unpack.member import Member

_HEADER: Final = struct.Struct("<4sIIIIIBBHHHHH")
_FOLDER: Final = struct.Struct("<IHH")
_FILE: Final = struct.Struct("<IIHHHH")
_DATA: Final = struct.Struct("<IHH")
_PREVIOUS, _NEXT, _RESERVED = 1, 2, 4
_STORED, _MSZIP = 0, 1
_BLOCK: Final = 32_768


class _Layout(NamedTuple):
    folders: list[tuple[int, int, int]]  # offset, blocks, way of packing
    files: list[tuple[str, int, int, int]]  # name, folder, offset in it, size
    reserved: int  # octets in front of each block


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield the files, folder by folder."""
    layout = _layout(data, budget, shown)
    for number, (offset, blocks, way) in enumerate(layout.folders):
        inside = [item for item in layout.files if item[1] == number]
        if way & 15 not in {_STORED, _MSZIP}:
            budget.note("ARCHIVE_UNREAD", f"{shown} is packed in a way that can't be undone here")
            yield from (Member(name, sealed=True) for name, *_ in inside)
            continue
        content = _unpacked(data, offset, blocks, way & 15, layout.reserved, shown, budget)
        yield from (Member(name, content[at : at + size]) for name, _, at, size in inside)


def _layout(data: bytes, budget: Budget, shown: str) -> _Layout:
    header = _HEADER.unpack_from(data)
    files_at, folder_count, file_count, flags = header[4], header[8], header[9], header[10]
    at = _HEADER.size
    per_folder = per_block = 0
    if flags & _RESERVED:
        for_header, per_folder, per_block = struct.unpack_from("<HBB", data, at)
        at += 4 + for_header
    for flag in (_PREVIOUS, _NEXT):
        if flags & flag:
            for _ in range(2):
                at = data.index(b"\0", at) + 1
    folders = []
    for _ in range(folder_count):
        folders.append(_FOLDER.unpack_from(data, at))
        at += _FOLDER.size + per_folder
    files = []
    at = files_at
    for _ in range(file_count):
        budget.check(shown)
        size, offset, folder, _, _, _ = _FILE.unpack_from(data, at)
        end = data.index(b"\0", at + _FILE.size)
        files.append((data[at + _FILE.size : end].decode("utf-8", "replace").replace("\\", "/"), folder, offset, size))
        at = end + 1
    return _Layout(folders, files, per_block)


def _unpacked(data: bytes, at: int, blocks: int, way: int, reserved: int, shown: str, budget: Budget) -> bytes:
    pieces: list[bytes] = []
    history = b""
    for _ in range(blocks):
        _, packed, size = _DATA.unpack_from(data, at)
        at += _DATA.size + reserved
        block = data[at : at + packed]
        at += packed
        if way == _MSZIP:  # each block is deflated by itself, with the one before as its dictionary
            inflate = zlib.decompressobj(-zlib.MAX_WBITS, zdict=history)
            block = inflate.decompress(block[2:], min(size, _BLOCK) or _BLOCK)
            history = (history + block)[-_BLOCK:]
        pieces.append(budget.take(block, shown))
    return b"".join(pieces)
