"""What lies in a file: one module a family of formats. Nothing here raises but LimitMet."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Final, cast

from services.core.filetypes import TEXTS
from services.scanners.budget import Budget, LimitMet
from services.scanners.unpack.member import Member

Opener = Callable[[bytes, str, Budget], Iterator[Member]]

_MODULES: Final = {
    **dict.fromkeys(("zip", "ooxml", "jar", "odf", "apk", "appx", "epub"), "zips"),
    "tar": "tars",
    **dict.fromkeys(("gz", "bz2", "xz", "lzma", "lzip", "zstd"), "streams"),
    **dict.fromkeys(TEXTS, "encoded"),
    **dict.fromkeys(("ole", "msg", "msi", "ole-encrypted"), "oles"),
    "7z": "sevenzips",
    "rar": "rars",
    "iso": "isos",
    "cab": "cabs",
    "pdf": "pdfs",
    "onenote": "notes",
    "tnef": "tnefs",
    "rtf": "rtfs",
    "mail": "mails",
    "javascript": "encoded",
    "vba": "encoded",
}

_UNREAD: Final = frozenset({"ace", "arj", "lzh", "xar", "cpio", "compress"})
_BEHIND_PROGRAMS: Final = ((b"7z\xbc\xaf\x27\x1c", "sevenzips"), (b"Rar!\x1a\x07", "rars"), (b"MSCF\0\0\0\0", "cabs"))

__all__ = ["Member", "members"]


def members(data: bytes, kind: str, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield what lies in a file of that kind, one level deep, and in a zip archive at the end of any other.

    What can't be read is noted in the budget as ARCHIVE_BROKEN. Raises LimitMet when nothing more may be unpacked.
    """
    module = _MODULES.get(kind)
    if module is not None:
        yield from _guarded(module, data, shown, budget)
    if module != "zips" and ends_as_zip(data):
        yield from _guarded("zips", data, shown, budget)
    if kind in {"pe", "mz"}:
        yield from _behind(data, shown, budget)
    if kind in _UNREAD:
        budget.note("ARCHIVE_UNREAD", f"{shown} is packed in a way that can't be undone here")


def ends_as_zip(data: bytes) -> bool:
    """Return whether a reader that looks at the end would take the octets for a zip archive, whatever comes before."""
    return data.rfind(b"PK\x05\x06", max(0, len(data) - 65_557)) >= 0


def _behind(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield what lies in the archive that a program carries to unpack itself."""
    for mark, module in _BEHIND_PROGRAMS:
        if (at := data.find(mark, 512)) >= 0:
            yield from _guarded(module, data[at:], shown, budget)


def _guarded(module: str, data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    loaded = importlib.import_module(f"{__name__}.{module}")  # only what is met is loaded: readers are large
    try:
        yield from cast("Opener", loaded.members)(data, shown, budget)
    except LimitMet:
        raise
    except MemoryError:  # a dictionary of gigabytes is asked for in a few octets: nothing of ours is broken by that
        budget.stop(f"{shown} asks for more memory than it may have")
    except Exception as error:  # noqa: BLE001  # a reader that meets hostile octets raises anything; all of it means unreadable
        budget.note("ARCHIVE_BROKEN", f"{shown}: {type(error).__name__}")
