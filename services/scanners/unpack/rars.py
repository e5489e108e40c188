"""RAR archives (rarfile): names always; octets of what is only stored, and the rest where the machine has a tool.

unrar, unar, bsdtar or 7z do; each runs as a process of its own under the limits of this one.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import rarfile

from services.scanners.budget import Budget
from services.scanners.unpack.member import Member


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield the files; one whose octets can't be had is sealed, and noted."""
    with rarfile.RarFile(io.BytesIO(data)) as archive:
        entries = [entry for entry in archive.infolist() if not entry.isdir()]
        if archive.needs_password() and not entries:
            budget.note("ARCHIVE_ENCRYPTED", f"{shown}: even the names in it are encrypted")
            yield Member("", sealed=True)
        for entry in entries:
            yield _member(archive, entry, shown, budget)


def _member(archive: rarfile.RarFile, entry: rarfile.RarInfo, shown: str, budget: Budget) -> Member:
    name = str(entry.filename)
    if entry.needs_password():
        budget.note("ARCHIVE_ENCRYPTED", f"{shown}/{name[:80]} is encrypted")
        return Member(name, sealed=True)
    try:
        with archive.open(entry) as file:
            return Member(name, budget.read(file, f"{shown}/{name[:80]}", entry.compress_size))
    except rarfile.RarCannotExec:
        budget.note("ARCHIVE_UNREAD", f"{shown}/{name[:80]}: this machine has no tool that unpacks RAR")
    except rarfile.Error as error:
        budget.note("ARCHIVE_BROKEN", f"{shown}/{name[:80]}: {type(error).__name__}")
    return Member(name, sealed=True)
