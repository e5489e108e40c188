"""Header fields as octets (RFC 5322 section 2.2): find them in what came in, and write new ones that can't inject any.

A line ends at CRLF, a lone LF or a lone CR: whatever any reader downstream may take for a line end is one here too, so
nobody hides a field from us inside another one.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from email.charset import QP, Charset
from email.header import Header
from typing import Final

LINE_AIM: Final = 78  # characters of a line that we write, where its words allow
_WORD_MOST: Final = 900  # characters without a blank; RFC 5322 allows 998 in a line
_VALUE_MOST: Final = 8_000  # characters of a field that we write
_ENCODED_LINE: Final = 70  # characters: RFC 2047 allows 76 with the blank before it

_NAME = re.compile(rb"([!-9;-~\x80-\xff]+)[ \t]*:")
_FOLDED_NAME = re.compile(rb"([!-9;-~\x80-\xff]+)[ \t\r\n]+:")  # a fold before the colon: some readers allow it
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]+")
_BREAK = re.compile(rb"\r\n|\n|\r")
_EMPTY_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?=[\r\n])")
_WINDOW: Final = 65_536  # octets searched in one go: a longer search would hold up everything else in the process
_OVERLAP: Final = 3  # octets of two windows that overlap: an empty line may lie across their border
_UTF8 = Charset("utf-8")
_UTF8.header_encoding = QP


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field with its continuation lines, as positions in the header block."""

    name: bytes  # lower case; empty for a line that is no field
    start: int
    value: int  # where the value starts, after the colon
    end: int  # after the last line's end


def header_end(message: bytes | memoryview) -> int:
    """Return the number of octets before the empty line that ends the header block; all of them when there is none."""
    view = memoryview(message)
    if bytes(view[:1]) in (b"\r", b"\n"):
        return 0
    start = 0
    while True:
        window = bytes(view[start : start + _WINDOW])
        if match := _EMPTY_LINE.search(window):
            return start + match.end()
        if start + len(window) >= len(view):
            return len(view)
        start += len(window) - _OVERLAP


def fields(header: bytes) -> Iterator[Field]:
    """Yield every field of a header block in order, the whole of it: what is no field comes with an empty name."""
    start = 0
    size = len(header)
    while start < size:
        end = _line_end(header, start)
        while end < size and header[end] in b" \t":
            end = _line_end(header, end)
        match = _NAME.match(header, start, end) or _FOLDED_NAME.match(header, start, end)
        if match:
            yield Field(match[1].lower(), start, match.end(), end)
        else:
            yield Field(b"", start, start, end)
        start = end


def _line_end(header: bytes, start: int) -> int:
    match = _BREAK.search(header, start)
    return match.end() if match else len(header)


def unfolded(value: bytes) -> bytes:
    """Return a field's value on one line."""
    return _BREAK.sub(b"", value).strip(b" \t")


def clean(text: str) -> str:
    """Return the text as one line without control characters, so that it can't end a field or begin another."""
    return _CONTROL.sub(" ", text).strip()[:_VALUE_MOST]


def is_field_name(name: str) -> bool:
    """Return whether the name may stand before a colon (RFC 5322 section 3.6.8)."""
    return _FIELD_NAME.fullmatch(name) is not None


def field(name: str, value: str) -> bytes:
    """Return `name: value` with its line ends: cleaned, folded at blanks, RFC 2047 words where it is not ASCII."""
    text = clean(value)
    if not text.isascii():
        return f"{name}: ".encode("ascii") + encoded_words(text, len(name) + 2) + b"\r\n"
    first, *rest = _words(text) or [""]
    lines = [f"{name}: {first}"]
    for word in rest:
        if len(lines[-1]) + 1 + len(word) > LINE_AIM:
            lines.append(f" {word}")
        else:
            lines[-1] += f" {word}"
    return "\r\n".join(lines).encode("ascii") + b"\r\n"


def encoded_words(text: str, used: int) -> bytes:
    """Return the text as RFC 2047 words, folded; `used` characters of the first line are taken."""
    words = Header(text, _UTF8, maxlinelen=_ENCODED_LINE, header_name="x" * max(used - 2, 0)).encode(linesep="\r\n")
    return words.encode("ascii")


def _words(text: str) -> list[str]:
    return [word[at : at + _WORD_MOST] for word in text.split() for at in range(0, len(word), _WORD_MOST)]
