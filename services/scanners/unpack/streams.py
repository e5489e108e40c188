"""One file packed by itself: gzip, bzip2, xz, lzma, lzip, zstd."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
from collections.abc import Callable, Iterator
from typing import Final

from services.core import filetypes
from services.scanners.budget import Budget, Readable
from services.scanners.unpack.member import Member

_SUFFIX = re.compile(r"\.(?:gz|bz2|xz|lzma|lz|zst|tgz|tbz2?|txz)$", re.IGNORECASE)
_WAYS: Final[dict[str, Callable[[io.BytesIO], Readable]]] = {
    "gz": lambda file: gzip.GzipFile(fileobj=file),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "lzma": lzma.LZMAFile,
}


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield the one file; its name is that of the outer one without its last ending."""
    last = shown.rpartition("/")[2]
    name = _SUFFIX.sub("", last) if _SUFFIX.search(last) else "unpacked"
    content = b""
    try:
        content = budget.read(_opened(data), shown, len(data))
    except (OSError, EOFError, lzma.LZMAError, ValueError):
        budget.note("ARCHIVE_BROKEN", f"{shown} ends too early, or is damaged")
        return
    yield Member(name, content)


def _opened(data: bytes) -> Readable:
    kind = filetypes.of(data)
    if kind == "lzip":
        return _lzip(data)
    if kind == "zstd":
        from backports import zstd  # noqa: PLC0415  # rarely met

        return zstd.ZstdFile(io.BytesIO(data))
    return _WAYS[kind](io.BytesIO(data))


def _lzip(data: bytes) -> Readable:
    """Return the first member as a file: lzip is LZMA with a header and a trailer of its own."""
    code = data[5]
    size = (1 << (code & 31)) - (((1 << (code & 31)) >> 4) * (code >> 5))
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": size, "lc": 3, "lp": 0, "pb": 2}]
    return lzma.LZMAFile(io.BytesIO(data[6:]), format=lzma.FORMAT_RAW, filters=filters)
