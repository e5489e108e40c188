"""A message as a file: its parts, as those of the message around it."""

from __future__ import annotations

from collections.abc import Iterator

from services.scanners import mime
from services.scanners.budget import Budget
from services.scanners.unpack import encoded
from services.scanners.unpack.member import Member


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield the decoded parts; a limit that is met is noted."""
    tree = mime.walk(data)
    for defect in tree.defects:
        if defect.limit:
            budget.note("ARCHIVE_LIMIT", f"{shown}: {defect.text}")
    for part in tree.parts:
        whole = part.gap and part.content_type == "message/rfc822"  # its parts are among these
        name = part.filename or f"part {part.path}"
        yield Member(name, budget.take(part.data, shown), hidden=part.gap, type="message" if whole else "")
    if not tree.multipart:
        yield from encoded.members(data, shown, budget)
