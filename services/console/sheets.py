"""Lines of a sheet (RFC 4180), safe to open: no cell that a stranger wrote becomes a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Final

BOM: Final = "\ufeff".encode()  # before the first line: spreadsheets take UTF-8 for something else without it
MEDIA: Final = "text/csv; charset=utf-8"

# What a spreadsheet may take for a formula when a cell begins with it, in ASCII and in full width.
_FORMULA: Final = tuple(
    "=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)


def line(cells: Iterable[str | int | float]) -> bytes:
    """Return one line. A text that a spreadsheet could take for a formula has an apostrophe before it."""
    out = io.StringIO()
    csv.writer(out).writerow([_safe(cell) for cell in cells])
    return out.getvalue().encode("utf-8", "replace")


def _safe(cell: str | float) -> str | float:
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\0", "")
    return "'" + text if text.lstrip(" ").startswith(_FORMULA) else text
