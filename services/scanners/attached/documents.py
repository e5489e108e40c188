"""Office documents: macros, old macro sheets, templates and objects from elsewhere, DDE, entities."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from schemas.events import Evidence
from services.scanners.contents import Content
from services.scanners.text import clean

_RELATIONSHIP = re.compile(rb"<Relationship\b([^>]{1,4000}+)>")
_EXTERNAL = re.compile(rb"""TargetMode\s{0,5}=\s{0,5}["']External["']""", re.IGNORECASE)
_TYPE = re.compile(rb"""\bType\s{0,5}=\s{0,5}["'][^"']{0,300}/(\w{1,60})["']""")
_TARGET = re.compile(rb"""\bTarget\s{0,5}=\s{0,5}["']([^"']{1,2000})["']""")
_FETCHED: Final = {  # kinds of relationship that are followed when the document is opened
    b"attachedTemplate": ("OFFICE_REMOTE_TEMPLATE", "its template lies elsewhere", 9.0),
    b"oleObject": ("OFFICE_REMOTE_OBJECT", "an object of it lies elsewhere", 8.0),
    b"subDocument": ("OFFICE_REMOTE_OBJECT", "a part of it lies elsewhere", 8.0),
    b"frame": ("OFFICE_REMOTE_OBJECT", "a frame of it lies elsewhere", 8.0),
    b"aFChunk": ("OFFICE_REMOTE_OBJECT", "a part of it lies elsewhere", 8.0),
    b"externalLinkPath": ("OFFICE_REMOTE_LINK", "it takes values from another file", 1.0),
    b"image": ("OFFICE_REMOTE_IMAGE", "an image of it lies elsewhere", 1.5),
}
_FAR: Final = re.compile(rb"(?:https?|ftp|file|mhtml|smb):|\\\\|//", re.IGNORECASE)
_DDE = re.compile(rb"<w:instrText[^>]{0,200}+>\s{0,50}DDE(?:AUTO)?\b|<ddeLink\b", re.IGNORECASE)
_DDE_CELL = re.compile(rb"""(?:^|[,;\t"])[=+@-]\s{0,10}[A-Za-z][\w.]{0,30}\|\s{0,5}'""", re.MULTILINE)
_TABLES: Final = (".csv", ".tsv", ".slk", ".iqy")
_DTD = re.compile(rb"<!(?:DOCTYPE|ENTITY)\b", re.IGNORECASE)
_RTF_TEMPLATE = re.compile(rb"\\\*\\template\s{0,50}[^}\s]{0,20}(?:https?:|\\\\\\\\|file:)", re.IGNORECASE)
_LOOKED_AT: Final = 4_194_304  # octets of one XML part
_BOUND_SHEET, _FILE_PASS, _EOF = 0x85, 0x2F, 0x0A
_MACRO_SHEET: Final = 1
_SOURCE: Final = 524_288  # octets of macros that are judged


def look(content: Content) -> Iterator[Evidence]:
    """Yield what is wrong with a document, or with a part of one."""
    shown = clean(content.name, 120)
    if content.type == "ole-encrypted":
        yield Evidence(code="ATTACHMENT_ENCRYPTED", text=f"{shown} is an encrypted document", score=4.0)
    elif content.type == "rtf":
        if _RTF_TEMPLATE.search(content.data):
            yield Evidence(code="OFFICE_REMOTE_TEMPLATE", text=f"{shown}: its template lies elsewhere", score=9.0)
        if b"\\objupdate" in content.data:
            yield Evidence(code="OFFICE_OBJECT_RUNS", text=f"{shown}: an object that loads by itself", score=7.0)
    elif content.type == "vba" and content.sealed:
        yield Evidence(code="OFFICE_MACRO_UNREAD", text=f"{shown}: macros whose source can't be read", score=6.5)
    elif content.type == "vba":
        yield from _macros(content.data[:_SOURCE], shown)
    elif content.within == "ooxml":
        yield from _xml(content, shown)
    elif content.within == "ole" and content.filename.rpartition("/")[2] in {"Workbook", "Book"}:
        yield from _workbook(content.data, shown)
    elif content.type == "text" and content.filename.lower().endswith(_TABLES):
        yield from _table(content.data[:_LOOKED_AT], shown)


def _table(data: bytes, shown: str) -> Iterator[Evidence]:
    if _DDE_CELL.search(data):
        yield Evidence(code="OFFICE_DDE", text=f"{shown}: a cell that starts a program", score=8.0)


def _macros(source: bytes, shown: str) -> Iterator[Evidence]:
    from oletools.olevba import VBA_Scanner  # noqa: PLC0415  # a third of a second, for few messages

    found = VBA_Scanner(source.decode("utf-8", "replace")).scan(include_decoded_strings=False)
    starts = {word for kind, word, _ in found if kind == "AutoExec"}
    does = {word for kind, word, _ in found if kind == "Suspicious" and "obfuscation" not in word.lower()}
    if starts and does:
        text = f"{shown}: a macro that starts by itself ({_some(starts)}) and uses {_some(does)}"
        yield Evidence(code="OFFICE_MACRO_RUNS", text=clean(text), score=9.0)
    elif starts or does:
        text = f"{shown}: a macro with {_some(starts or does)}"
        yield Evidence(code="OFFICE_MACRO_SUSPICIOUS", text=clean(text), score=6.0)
    elif len(source) > 400:  # noqa: PLR2004  # more than the attributes that each module has
        yield Evidence(code="OFFICE_MACRO", text=f"{shown}: a macro", score=3.0)


def _some(words: set[str]) -> str:
    return ", ".join(sorted(words)[:3])


def _xml(content: Content, shown: str) -> Iterator[Evidence]:
    name = content.filename.lower()
    if "macrosheets/" in name:
        yield Evidence(code="OFFICE_MACRO_SHEET", text=f"{shown}: a sheet of Excel 4 macros", score=8.0)
    if not name.endswith((".xml", ".rels", ".vml")):
        return
    data = content.data[:_LOOKED_AT]
    if _DTD.search(data[:65_536]):
        yield Evidence(code="OFFICE_ENTITIES", text=f"{shown}: declares entities, which no document does", score=8.0)
    if name.endswith(".rels"):
        yield from _relationships(data, shown)
    elif (b"DDE" in data or b"ddeLink" in data) and _DDE.search(data):
        yield Evidence(code="OFFICE_DDE", text=f"{shown}: a field that starts a program", score=8.0)


def _relationships(data: bytes, shown: str) -> Iterator[Evidence]:
    for found in _RELATIONSHIP.finditer(data):
        about = found.group(1)
        kind, target = _TYPE.search(about), _TARGET.search(about)
        if kind is None or target is None or not _EXTERNAL.search(about):
            continue
        if target.group(1).lower().startswith((b"mhtml:", b"ms-")):
            yield Evidence(code="OFFICE_REMOTE_OBJECT", text=f"{shown}: it opens another program", score=9.0)
        elif kind.group(1) in _FETCHED and _FAR.match(target.group(1)):
            code, text, score = _FETCHED[kind.group(1)]
            yield Evidence(code=code, text=f"{shown}: {text}", score=score)


def _workbook(data: bytes, shown: str) -> Iterator[Evidence]:
    """Yield what the first records of an Excel 97 workbook say ([MS-XLS] 2.4.28, 2.4.117)."""
    at = 0
    while at + 4 <= len(data):
        kind, size = struct.unpack_from("<HH", data, at)
        body = data[at + 4 : at + 4 + size]
        if kind == _FILE_PASS:
            yield Evidence(code="ATTACHMENT_ENCRYPTED", text=f"{shown} is an encrypted workbook", score=4.0)
            return
        if kind == _BOUND_SHEET and len(body) > 5 and body[5] == _MACRO_SHEET:  # noqa: PLR2004  # where its kind stands
            hidden = body[4] & 3
            text = f"{shown}: a {'hidden ' if hidden else ''}sheet of Excel 4 macros"
            yield Evidence(code="OFFICE_MACRO_SHEET", text=text, score=9.0 if hidden else 7.0)
        if kind == _EOF:
            return
        at += 4 + size
