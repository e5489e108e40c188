"""7z archives (py7zr): what unpacks to more than it may is cut off while it does."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import py7zr
from py7zr.exceptions import PasswordRequired
from py7zr.io import Py7zIO, WriterFactory

from services.scanners.budget import Budget
from services.scanners.unpack.member import Member


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield the files. An archive whose names are encrypted too yields nothing but the note that it is."""
    try:
        archive = py7zr.SevenZipFile(io.BytesIO(data))
    except PasswordRequired:
        budget.note("ARCHIVE_ENCRYPTED", f"{shown}: even the names in it are encrypted")
        yield Member("", sealed=True)
        return
    with archive:
        names = [entry.filename for entry in archive.files if not entry.is_directory]
        if archive.needs_password():
            budget.note("ARCHIVE_ENCRYPTED", f"{shown} is encrypted")
            yield from (Member(name, sealed=True) for name in names)
            return
        factory = _Files(max(0, budget.octets), time.process_time() + max(0.0, budget.left))
        try:
            archive.extractall(factory=factory)
        except _TooMuch:
            yield from (Member(name, file.held(), hidden=True) for name, file in factory.files)
            yield from (Member(name, sealed=True) for name in names[len(factory.files) :])
            budget.stop(f"{shown} unpacks to more than may be")
        for name, file in factory.files:
            yield Member(name, budget.take(file.held(), shown), hidden=True)


class _TooMuch(Exception):  # noqa: N818  # no error: a limit
    pass


class _File(Py7zIO):
    def __init__(self, all_of_them: _Files) -> None:
        self._all = all_of_them
        self._buffer = io.BytesIO()

    def held(self) -> bytes:
        return self._buffer.getvalue()

    def write(self, s: bytes | bytearray) -> int:
        self._all.spend(len(s))
        return self._buffer.write(s)

    def read(self, size: int | None = None) -> bytes:
        return self._buffer.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._buffer.seek(offset, whence)

    def flush(self) -> None:
        pass

    def size(self) -> int:
        return len(self._buffer.getbuffer())


class _Files(WriterFactory):
    def __init__(self, octets: int, until: float) -> None:
        self.files: list[tuple[str, _File]] = []
        self._octets = octets
        self._until = until

    def spend(self, octets: int) -> None:
        self._octets -= octets
        if self._octets < 0 or time.process_time() > self._until:
            raise _TooMuch

    def create(self, filename: str) -> _File:
        file = _File(self)
        self.files.append((filename, file))
        return file
