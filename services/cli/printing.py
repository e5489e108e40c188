"""How commands print: text of mail has its control characters made visible, so that it can't drive the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029, 0x202E, 0x2066)}


def plain(text: str) -> str:
    """Return the text safe for a terminal: one line, nothing that moves the cursor or turns the writing round."""
    return text.translate(_CONTROL)


def stamp(when: float) -> str:
    """Return a time as people read it, UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(when))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows in columns as wide as their widest cell."""
    lines = [tuple(head), *(tuple(plain(cell) for cell in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
