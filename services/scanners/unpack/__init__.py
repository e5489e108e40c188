"""What lies in a file: one module a family of formats. Nothing here raises but LimitMet and MemoryError."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Final, cast

from services.scanners.budget import Budget, LimitMet
from services.scanners.filetypes import TEXTS
from services.scanners.unpack.member import Member

Opener = Callable[[bytes, str, Budget], Iterator[Member]]

_MODULES: Final = {
    **dict.fromkeys(("zip", "ooxml", "jar", "odf", "apk", "appx", "epub"), "zips"),
    "tar": "tars",
    **dict.fromkeys(("gz", "bz2", "xz", "lzma", "lzip", "zstd"), "streams"),
    **dict.fromkeys(TEXTS, "encoded"),
}

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


def ends_as_zip(data: bytes) -> bool:
    """Return whether a reader that looks at the end would take the octets for a zip archive, whatever comes before."""
    return data.rfind(b"PK\x05\x06", max(0, len(data) - 65_557)) >= 0


def _guarded(module: str, data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    loaded = importlib.import_module(f"{__name__}.{module}")  # only what is met is loaded: readers are large
    try:
        yield from cast("Opener", loaded.members)(data, shown, budget)
    except (LimitMet, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  # a reader that meets hostile octets raises anything; all of it means unreadable
        budget.note("ARCHIVE_BROKEN", f"{shown}: {type(error).__name__}")
