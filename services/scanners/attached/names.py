"""File names: what the ending makes the receiver's machine do, and names that say something else than the file is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from schemas.events import Evidence
from services.core.filenames import DISKS, PROGRAM_TYPES, PROGRAMS, SHORTCUTS, ending
from services.scanners.contents import Content
from services.scanners.text import clean

PROGRAM_SCORE, DISK_SCORE, DISGUISED_SCORE = 8.0, 6.5, 10.0
_MAYBE_PROGRAMS: Final = frozenset({"mz", "batch", "script"})
_HARMLESS_ENDINGS: Final = """
    7z avi bmp csv doc docm docx eml gif htm html ics jpeg jpg json mov mp3 mp4 msg ods odt pdf png ppt pptx
    rar rtf svg tif tiff txt vcf wav webp xls xlsm xlsx xml zip
"""
_HARMLESS: Final = frozenset(_HARMLESS_ENDINGS.split())
_IMAGES: Final = frozenset({"jpeg", "png", "gif", "bmp", "tiff", "webp"})
_PLAIN: Final = frozenset({"text", "data", "html", "xml", "mail", "armoured", "script", "batch"})
_IS: Final[dict[str, frozenset[str] | set[str]]] = {  # what a file of that ending may be; of others nothing is expected
    "pdf": {"pdf"},
    "doc": {"ole", "rtf", "ooxml", "ole-encrypted", "html", "mail", "xml", "text"},
    "docx": {"ooxml", "ole-encrypted"},
    "xls": {"ole", "ooxml", "ole-encrypted", "html", "xml", "mail", "text"},
    "xlsx": {"ooxml", "ole-encrypted"},
    "pptx": {"ooxml", "ole-encrypted"},
    **dict.fromkeys(("jpg", "jpeg", "png", "gif", "bmp", "tif", "tiff", "webp"), _IMAGES),
    **dict.fromkeys(("txt", "csv"), _PLAIN),
}
_OVERRIDES: Final = re.compile("[\u202d\u202e]")
_GAP: Final = re.compile(r"[\s\u00a0\u2000-\u200b\u3000]{5,}\.\w{1,10}\s*$")
_ENDS: Final = re.compile(r"\.([a-z0-9_-]{1,20})\.([a-z0-9_-]{1,20})$")


def look(content: Content) -> Iterator[Evidence]:
    """Yield what the name and the type of a part or member say together."""
    name, kind, end = content.filename, content.type, ending(content.filename)
    shown = clean(content.name, 120)
    program = kind in PROGRAM_TYPES
    if program and end and end in _IS:
        yield Evidence(code="ATTACHMENT_DISGUISED", text=f"{shown} is a program: {kind}", score=DISGUISED_SCORE)
    elif program:
        yield Evidence(code="ATTACHMENT_PROGRAM", text=f"{shown} is a program: {kind}", score=PROGRAM_SCORE)
    elif end in PROGRAMS:
        sealed = ", and encrypted" if content.sealed else ""
        score = PROGRAM_SCORE + (1.0 if content.sealed else 0.0)
        yield Evidence(code="ATTACHMENT_PROGRAM", text=f"{shown} runs when it is opened{sealed}", score=score)
    elif kind in {"iso", "disk"} or end in DISKS:
        yield Evidence(code="ATTACHMENT_DISK_IMAGE", text=f"{shown} is the image of a disk", score=DISK_SCORE)
    elif kind in _MAYBE_PROGRAMS and end not in {"txt", "log", "md"}:
        yield Evidence(code="ATTACHMENT_SCRIPT", text=f"{shown} looks like a script or program: {kind}", score=4.0)
    elif end in _IS and content.data and kind not in _IS[end] and kind != "empty":
        yield Evidence(code="ATTACHMENT_TYPE_DIFFERS", text=f"{shown} is no {end}, it is {kind}", score=2.5)
    yield from _deceptive(name, shown, end)


def _deceptive(name: str, shown: str, end: str) -> Iterator[Evidence]:
    if _OVERRIDES.search(name):
        yield Evidence(code="ATTACHMENT_NAME_TURNED", text=f"{shown}: the name is shown backwards in part", score=9.0)
    if _GAP.search(name):
        yield Evidence(code="ATTACHMENT_NAME_PADDED", text=f"{shown}: the ending is pushed out of sight", score=7.0)
    found = _ENDS.search(name.lower().rstrip(" .\0"))
    dangerous = PROGRAMS | DISKS | SHORTCUTS
    if found and found.group(1) in _HARMLESS and (found.group(2) in dangerous) and end in dangerous:
        text = f"{shown}: called .{found.group(1)}, and is .{found.group(2)}"
        yield Evidence(code="ATTACHMENT_DOUBLE_ENDING", text=text, score=9.0)
