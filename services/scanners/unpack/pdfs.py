"""PDF (ISO 32000) as octets: attached files, scripts, and the objects that lie packed in streams. Not a parser."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from typing import Final

from services.scanners.budget import Budget
from services.scanners.unpack.member import Member

_STREAM = re.compile(rb"(?<!end)stream\r?\n")
_DICTIONARY: Final = 4096  # octets before a stream in which its dictionary is looked for
_MAX_STREAMS: Final = 5000
_ESCAPE = re.compile(rb"#([0-9a-fA-F]{2})")
_FILTER = re.compile(rb"/(FlateDecode|Fl|ASCIIHexDecode|AHx|ASCII85Decode|A85|RunLengthDecode|LZWDecode)\b")
_SCRIPT_AT = re.compile(rb"/JS\s{0,5}(\d{1,7})\s{1,5}(\d{1,5})\s{1,5}R")
_OBJECT = re.compile(rb"(\d{1,7})\s{1,5}\d{1,5}\s{1,5}obj\b")
_NAME = re.compile(rb"/(?:UF|F)\s{0,5}\(((?:[^()\\]|\\.){1,200})\)")


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield attached files and scripts, then the packed objects as one text of the type pdf-objects."""
    scripts = {found.group(1) for found in _SCRIPT_AT.finditer(data)}
    objects: list[bytes] = []
    names = [found.group(1).decode("latin-1") for found in _NAME.finditer(data)]
    kept: list[tuple[bytes, bytes]] = []  # number and octets of streams that a packed object may name as a script
    for count, found in enumerate(_STREAM.finditer(data)):
        budget.check(shown)
        if count > _MAX_STREAMS:
            budget.stop(f"{shown}: more than {_MAX_STREAMS} streams")
        number, about = _about(data, found.start())
        body = data[found.end() : max(found.end(), data.find(b"endstream", found.end()))]
        if b"/ObjStm" in about:
            objects.append(_decoded(body, about, shown, budget))
        elif b"/EmbeddedFile" in about:
            yield Member(names.pop(0) if names else "attached file", _decoded(body, about, shown, budget), hidden=True)
        elif number in scripts:
            yield Member("script", _decoded(body, about, shown, budget), hidden=True, type="javascript")
        elif b"/Subtype" not in about and b"/Length1" not in about and len(kept) < 200:  # noqa: PLR2004  # few are needed
            kept.append((number, body if b"/Filter" not in about else b"F" + body))
    if objects:
        text = b"\n".join(objects)
        yield Member("objects", text, type="pdf-objects", hidden=True)
        wanted = {found.group(1) for found in _SCRIPT_AT.finditer(text)} - scripts
        for number, body in kept:
            if number in wanted:
                content = _inflated(body[1:], shown, budget) if body[:1] == b"F" else body
                yield Member("script", content, hidden=True, type="javascript")


def plain_names(data: bytes) -> bytes:
    """Return the octets with names as they are meant: /J#61vaScript is /JavaScript (section 7.3.5)."""
    return _ESCAPE.sub(lambda found: bytes((int(found.group(1), 16),)), data)


def _about(data: bytes, at: int) -> tuple[bytes, bytes]:
    """Return the object's number and the dictionary before the stream that begins there."""
    before = data[max(0, at - _DICTIONARY) : at]
    start = max(before.rfind(b" obj"), before.rfind(b"\nobj"))
    numbers = _OBJECT.findall(before)
    return (numbers[-1] if numbers else b""), plain_names(before[start:] if start >= 0 else before)


def _decoded(body: bytes, about: bytes, shown: str, budget: Budget) -> bytes:
    for way in _FILTER.findall(about)[:4]:
        try:
            if way in {b"FlateDecode", b"Fl"}:
                body = _inflated(body, shown, budget)
            elif way in {b"ASCIIHexDecode", b"AHx"}:
                digits = re.sub(rb"[^0-9a-fA-F]", b"", body.partition(b">")[0])
                body = binascii.unhexlify(digits + b"0" * (len(digits) % 2))
            elif way in {b"ASCII85Decode", b"A85"}:
                body = base64.a85decode(body.strip().removeprefix(b"<~").partition(b"~>")[0])
        except ValueError:
            budget.note("ARCHIVE_BROKEN", f"{shown}: a stream can't be decoded")
    return budget.take(body, shown)


class _Stream:
    def __init__(self, body: bytes) -> None:
        self._rest = body
        self._inflate = zlib.decompressobj()

    def read(self, size: int, /) -> bytes:
        while self._rest and not self._inflate.eof:
            try:
                piece = self._inflate.decompress(self._rest, size)
            except zlib.error:  # a damaged end: readers show what came before
                return b""
            self._rest = self._inflate.unconsumed_tail
            if piece:
                return piece
        return b""


def _inflated(body: bytes, shown: str, budget: Budget) -> bytes:
    return budget.read(_Stream(body), shown, len(body))
