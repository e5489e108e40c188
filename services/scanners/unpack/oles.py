"""OLE2 compound files ([MS-CFB], olefile): their streams, embedded files by name, and the source of macros."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import olefile

from services.scanners.budget import Budget, LimitMet
from services.scanners.unpack.member import Member

_MAX_STREAMS: Final = 2000
_MESSAGE_DATA, _MESSAGE_NAMES = "__substg1.0_37010102", ("__substg1.0_3707001F", "__substg1.0_3704001F")


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield each stream; an embedded file goes by its own name, and macros follow as source."""
    with olefile.OleFileIO(data) as ole:
        paths = ole.listdir(streams=True, storages=False)
        if len(paths) > _MAX_STREAMS:
            budget.stop(f"{shown}: more than {_MAX_STREAMS} streams")
        for path in paths:
            budget.check(shown)
            content = budget.take(ole.openstream(path).read(), shown)
            yield _named(ole, path, content)
        macros = any(path[-1].lower() == "dir" and len(path) > 1 and path[-2].lower() == "vba" for path in paths)
    if macros:
        yield from _source(data, shown, budget)


def _named(ole: olefile.OleFileIO, path: list[str], content: bytes) -> Member:
    last = path[-1]
    if last == "\x01Ole10Native" and (found := native(content)) is not None:
        return Member(found[0], found[1], hidden=True)
    if last == _MESSAGE_DATA:
        for name in _MESSAGE_NAMES:
            beside = [*path[:-1], name]
            if ole.exists(beside):
                return Member(ole.openstream(beside).read().decode("utf-16-le", "replace").rstrip("\0"), content)
    return Member("/".join(path), content)


def native(stream: bytes) -> tuple[str, bytes] | None:
    """Return name and octets of the file in an Ole10Native stream, None when it holds none ([MS-OLEDS] 2.3.6)."""
    try:
        label_end = stream.index(b"\0", 6)
        path_end = stream.index(b"\0", label_end + 1)
        (length,) = struct.unpack_from("<I", stream, path_end + 5)
        at = path_end + 9 + length
        (size,) = struct.unpack_from("<I", stream, at)
    except (ValueError, struct.error):
        return None
    name = stream[6:label_end].decode("utf-8", "replace")
    return (name, stream[at + 4 : at + 4 + size]) if name and size else None


def _source(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield the macros as text, each module a file; one that is sealed when there are some and none can be read."""
    from oletools.olevba import VBA_Parser  # noqa: PLC0415  # a third of a second, for few messages

    read = 0
    try:
        parser = VBA_Parser("macros", data=data, relaxed=True)
        try:
            for _, _, name, code in parser.extract_macros():
                budget.check(shown)
                text = code.encode("utf-8", "replace") if isinstance(code, str) else bytes(code or b"")
                read += len(text)
                yield Member(f"{name or 'macro'}", budget.take(text, shown), hidden=True, type="vba")
        finally:
            parser.close()
    except (LimitMet, MemoryError, GeneratorExit):
        raise
    except Exception as error:  # noqa: BLE001  # a reader that meets hostile octets raises anything
        budget.note("ARCHIVE_BROKEN", f"{shown}: macros, {type(error).__name__}")
    if not read:
        yield Member("macros", sealed=True, type="vba")
