"""Tar archives."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

from services.scanners.budget import Budget
from services.scanners.unpack.member import Member


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield the files; links and devices have no octets of their own."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for info in archive:
            budget.check(shown)
            file = archive.extractfile(info) if info.isreg() else None
            if file is not None:
                yield Member(info.name, budget.read(file, f"{shown}/{info.name[:80]}", info.size))
