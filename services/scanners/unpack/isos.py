"""Images of optical discs, ISO 9660 with Joliet or Rock Ridge names, and UDF (pycdlib)."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pycdlib

from services.scanners.budget import Budget
from services.scanners.unpack.member import Member

_MAX_FOLDERS = 1000


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield the files by the names that Windows shows: UDF before Joliet before the plain ones."""
    image = pycdlib.PyCdlib()
    image.open_fp(io.BytesIO(data))
    try:
        way = "udf_path" if image.has_udf() else "joliet_path" if image.has_joliet() else "iso_path"
        for number, (folder, _, names) in enumerate(image.walk(**{way: "/"})):
            if number > _MAX_FOLDERS:
                budget.stop(f"{shown}: more than {_MAX_FOLDERS} folders")
            for name in names:
                path = f"{folder.rstrip('/')}/{name}"
                with image.open_file_from_iso(**{way: path}) as file:
                    content = budget.read(file, f"{shown}{path[:80]}", len(data))
                yield Member(path.strip("/").partition(";")[0], content)
    finally:
        image.close()
