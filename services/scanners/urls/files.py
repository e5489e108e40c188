"""URLs in attached files: pages, pictures with codes, PDF, office documents, calendars, and what archives hold."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Final

from services.scanners import text
from services.scanners.mail import Mail
from services.scanners.mime import Part
from services.scanners.urls import find, qr
from services.scanners.urls.find import Found, Kind
from services.scanners.urls.known import TEXT_TYPES

FILES_MOST: Final = 60  # of one message, members of archives included
OCTETS_MOST: Final = 33_554_432  # unpacked, of one message
TEXT_MOST: Final = 1_048_576  # octets of a text file that are searched
_NAME_LIMIT: Final = 60
_PAGE: Final = re.compile(rb"<(?:!doctype\s+html|html|head|body|script|svg|meta|form|iframe|a\s)", re.IGNORECASE)
_PICTURE: Final = re.compile(rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|BM", re.DOTALL)
_PDF_URI: Final = re.compile(rb"/URI\s*(?:\(((?:[^()\\]|\\.){4,2000})\)|<([0-9A-Fa-f\s]{8,4000})>)")
_PDF_STREAM: Final = re.compile(rb"<<((?:[^<>]|<[^<]|>[^>]){0,600})>>\s*stream\r?\n")
_PDF_STREAMS: Final = 60
_PDF_INFLATED: Final = 2_097_152  # octets of one stream
_PDF_PICTURES: Final = 4
_RELATION: Final = re.compile(rb"""Target\s*=\s*["']((?:https?|file|ftp|mhtml|\\\\)[^"']{3,2000})["']""", re.IGNORECASE)
_LEFT_OUT: Final = frozenset(
    {"data", "empty", "message", "pdf-objects"}
)  # nothing to read, or read with what is around
_READ_ALREADY: Final = frozenset({"text/plain", "text/html"})
_TEXT_ENDS: Final = (".txt", ".ics", ".vcf", ".eml", ".url", ".csv", ".xml", ".md", ".rtf", ".webloc", ".js", ".vbs")


class Pictures:
    """How many pictures of a message may still be looked at."""

    def __init__(self) -> None:
        self.left = qr.PICTURES
        self._seen: set[bytes] = set()

    def read(self, data: bytes, where: str) -> Iterator[Found]:
        key = data[:64] + len(data).to_bytes(8, "big") + data[-64:]
        if self.left <= 0 or key in self._seen:
            return
        self._seen.add(key)
        self.left -= 1
        for content in qr.read(data):
            yield from find.in_text(content if ":" in content else f"http://{content}", Kind.QR, where)


def in_files(mail: Mail) -> Iterator[Found]:
    """Yield the URLs in all that the message holds but its plain and HTML text. Never raises; limits end it early."""
    pictures = Pictures()
    looked = octets = 0
    for content in mail.contents:
        part = content.part
        if content.type in _LEFT_OUT or (part is not None and (part.gap or part.content_type in _READ_ALREADY)):
            continue
        looked += 1
        octets += len(content.data)
        if looked > FILES_MOST or octets > OCTETS_MOST:
            return
        where = _name(part) if part is not None else text.clean(content.name, _NAME_LIMIT)
        yield from in_file(content.data, content.filename.lower(), content.declared, where, pictures)


def in_file(data: bytes, name: str, kind: str, where: str, pictures: Pictures) -> Iterator[Found]:
    """Yield the URLs in one file. What it is, its octets say; its name and type only where they can't."""
    head = data[:1024]
    if _PICTURE.match(head):
        yield from pictures.read(data, where)
    elif b"%PDF" in head:
        yield from _in_pdf(data, where, pictures)
    elif name.endswith(".rels"):
        for found in list(_RELATION.finditer(data[:TEXT_MOST]))[: find.MOST]:
            yield Found(_decoded(found.group(1)), Kind.LINK, where=where)
    elif _PAGE.search(head) or name.endswith((".html", ".htm", ".shtml", ".xhtml", ".svg", ".mht")):
        page = _decoded(data[:TEXT_MOST])
        yield from find.in_page(page, where)
        yield from find.odd_schemes(page, where)
    elif kind.startswith("text/") or kind in TEXT_TYPES or name.endswith(_TEXT_ENDS):
        yield from find.in_text(_decoded(data[:TEXT_MOST]).replace("\r\n ", ""), where=where)


def _in_pdf(data: bytes, where: str, pictures: Pictures) -> Iterator[Found]:
    yield from _pdf_uris(data, where)
    shown = 0
    for number, found in enumerate(_PDF_STREAM.finditer(data)):
        if number >= _PDF_STREAMS:
            return
        entries = found.group(1)
        if b"/DCTDecode" in entries:
            if shown < _PDF_PICTURES:
                shown += 1
                end = data.find(b"endstream", found.end())
                yield from pictures.read(data[found.end() : end if end >= 0 else None], where)
        elif b"/FlateDecode" in entries and b"/ObjStm" in entries:
            try:
                inflated = zlib.decompressobj().decompress(data[found.end() :], _PDF_INFLATED)
            except zlib.error:
                continue
            yield from _pdf_uris(inflated, where)


def _pdf_uris(data: bytes, where: str) -> Iterator[Found]:
    for number, found in enumerate(_PDF_URI.finditer(data)):
        if number >= find.MOST:
            return
        plain, digits = found.groups()
        octets = re.sub(rb"\\(.)", rb"\1", plain, flags=re.DOTALL) if plain else bytes.fromhex(_even(digits))
        yield Found(_decoded(octets), Kind.LINK, where=where)


def _even(digits: bytes) -> str:
    packed = b"".join(digits.split()).decode("ascii")
    return packed + "0" * (len(packed) % 2)


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return text.from_bytes(data)


def _name(part: Part) -> str:
    return text.clean(part.filename, _NAME_LIMIT) if part.filename else f"part {part.path}"
