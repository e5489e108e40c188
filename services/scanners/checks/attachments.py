"""Attachments: what a file is by its octets, what its name makes of it, and what it would do when it is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from schemas.events import Evidence, Status
from services.core import filetypes
from services.core.filenames import PROGRAM_TYPES, PROGRAMS, dangerous, ending
from services.scanners.attached import documents, names, pages, pdf
from services.scanners.contents import Content
from services.scanners.contract import Context, Cost, Finding, Spec
from services.scanners.decide import SUSPICIOUS_FROM
from services.scanners.mail import Mail

SPEC: Final = Spec(name="attachments", version="3", cost=Cost.CPU, timeout=30.0)

_BREATHE_AFTER: Final = 0.05  # seconds after which other scans of the worker have their turn
_OF_A_KIND: Final = 3  # pieces of evidence with the same code
_NAMED_WITHIN: Final = filetypes.ARCHIVES | {"", "mail", "message", "tnef", "msg", "onenote", "pdf", "ole", "rtf"}
_DOCUMENTS: Final = frozenset({"pdf", "ole", "rtf", "onenote", "ooxml"})
_PLACED: Final = 9.0  # of a program that lies in a document
_FORMS: Final = {  # what was met while unpacking: code → the one used here, score
    "ARCHIVE_LIMIT": ("ARCHIVE_LIMIT", 6.0),
    "ARCHIVE_DISAGREES": ("ARCHIVE_DISAGREES", 6.0),
    "ARCHIVE_ENCRYPTED": ("ATTACHMENT_ENCRYPTED", 4.0),
    "ARCHIVE_UNREAD": ("ARCHIVE_UNREAD", 3.0),
    "ARCHIVE_BROKEN": ("ARCHIVE_BROKEN", 2.0),
    "ENCODED_LIMIT": ("ENCODED_LIMIT", 3.0),
}
_ODD_ARCHIVES: Final = frozenset({"ace", "arj", "lzh", "xar", "cpio", "compress"})
_NESTED_FROM: Final = 3  # archives in archives


async def scan(mail: Mail, ctx: Context) -> Finding:
    """Return SUSPICIOUS when a file is a program, deceives, or acts when it is opened."""
    found: list[Evidence] = []
    kinds: dict[str, None] = {}
    packed: dict[str, None] = {}
    turn = ctx.clock.monotonic()
    for content in mail.contents:
        found.extend(look(content))
        here = dict.fromkeys(kinds_of(content))
        kinds |= here
        packed |= {kind: None for kind in here if _packed(content, kind)}
        if ctx.clock.monotonic() - turn > _BREATHE_AFTER:
            await asyncio.sleep(0)
            turn = ctx.clock.monotonic()
    for code, text in mail.contents.budget.met.items():
        named, score = _FORMS[code]
        found.append(Evidence(code=named, text=text, score=score))
    evidence = _bounded(found)
    score = max((item.score for item in evidence), default=0.0)
    status = Status.SUSPICIOUS if score >= SUSPICIOUS_FROM else Status.CLEAN
    return Finding(status=status, score=score, evidence=evidence, files=tuple(kinds), packed=_gravest(packed))


def kinds_of(content: Content) -> Iterator[str]:
    """Yield the ending of the file's name, with its dot, and its type; nothing of what only a document consists of."""
    if _is_text(content) or content.within in _DOCUMENTS:
        return
    if end := ending(content.filename):
        yield f".{end}"
    if content.type:
        yield content.type


def _gravest(kinds: dict[str, None]) -> tuple[str, ...]:
    """Return what acts when it is opened first, since an event carries only so many."""
    return tuple(sorted(kinds, key=lambda kind: not dangerous(kind)))


def _packed(content: Content, kind: str) -> bool:
    """Return whether who takes such files out of a message would not come upon this one as a part of it."""
    return content.within in filetypes.HOLDERS or ((content.depth > 0 or content.hidden) and dangerous(kind))


def _is_text(content: Content) -> bool:
    """Return whether it is the text that a mail consists of."""
    return content.type in {"text", "html"} and not content.filename and (content.part is not None or content.hidden)


def look(content: Content) -> Iterator[Evidence]:
    """Yield what is to be said of one file. The text that a mail consists of is no file."""
    if _is_text(content):
        return
    if content.within in _NAMED_WITHIN:
        yield from _by_name(content)
    if content.type in {"pdf", "pdf-objects", "javascript"}:
        yield from pdf.look(content)
    elif content.type in {"html", "hta", "svg", "url"}:
        yield from pages.look(content)
    if content.type in {"ole-encrypted", "rtf", "vba", "text"} or content.within in {"ooxml", "ole"}:
        yield from documents.look(content)
    if content.type in _ODD_ARCHIVES:
        yield Evidence(code="ARCHIVE_ODD", text=f"{content.name}: an archive that hardly anybody uses", score=4.0)
    if content.type in filetypes.ARCHIVES and content.depth >= _NESTED_FROM:
        yield Evidence(code="ARCHIVE_NESTED", text=f"{content.name}: an archive deep in archives", score=4.0)


def _by_name(content: Content) -> Iterator[Evidence]:
    if content.within in _DOCUMENTS:  # names in there are those of streams, unless it is a file
        if content.type in PROGRAM_TYPES or (content.hidden and ending(content.filename) in PROGRAMS):
            text = f"{content.name} is a program in a document"
            yield Evidence(code="ATTACHMENT_PROGRAM", text=text, score=_PLACED)
        elif content.within == "onenote" and content.type not in filetypes.IMAGES:
            yield Evidence(code="ONENOTE_FILE", text=f"{content.name}: a file in a note", score=6.0)
        return
    yield from names.look(content)


def _bounded(found: list[Evidence]) -> tuple[Evidence, ...]:
    """Return the gravest first, of each code the first few."""
    counts: dict[str, int] = {}
    kept = []
    for item in sorted(found, key=lambda item: -item.score):
        counts[item.code] = counts.get(item.code, 0) + 1
        if counts[item.code] <= _OF_A_KIND:
            kept.append(item)
    return tuple(kept)
