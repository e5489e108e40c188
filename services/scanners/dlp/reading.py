"""The text of a file as a person would read it. What can't be read says so. Nothing here raises."""

from __future__ import annotations

import html
import re
import time
import unicodedata
from typing import Final

import pypdfium2

from services.core.filetypes import TEXTS
from services.scanners import text
from services.scanners.contents import Content

OCTETS_MOST: Final = 8_388_608  # of one file that are looked into
PAGES_MOST: Final = 500  # of a PDF
PDF_SECONDS: Final = 5.0  # for one of them

_TAG = re.compile(r"<!--|<([/?!]?)([A-Za-z][\w:.-]{0,60})[^<>]*+>")
_UNSHOWN: Final = frozenset({"!--", "script", "style"})
_INLINE_NAMES: Final = """
    a abbr b bdi bdo big cite code del em font i ins kbd mark q s samp small span strike strong sub sup tt u var wbr
"""
_INLINE: Final = frozenset(_INLINE_NAMES.split())
# In office documents one word may lie in several runs: only these end one.
_BREAKING: Final = """
    w:p w:br w:cr w:tab w:tc a:p a:br text:p text:h text:s text:tab text:line-break table:table-cell si c v row is
"""
_BREAKS: Final = frozenset(_BREAKING.split())
_CHARSET: Final = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_NARROW = re.compile(rb"[\t\r\n\x20-\x7e\xa0-\xff]{6,}")
_WIDE = re.compile(rb"(?:[\t\r\n\x20-\x7e\xa0-\xff]\0){6,}")
_RTF_HEX = re.compile(rb"\\'([0-9a-fA-F]{2})")
_RTF_BREAK = re.compile(rb"\\(?:par|line|tab|cell|row)\b ?")
_RTF_WORD = re.compile(rb"\\[a-zA-Z]{1,32}-?\d{0,10} ?|\\\*|[{}\r\n]")
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")


class Unread(Exception):  # noqa: N818  # no error: a fact about the file
    """There may be text, and it can't be read; says why."""


def read(content: Content) -> str:
    """Return the text of a file, empty for one that holds none. Raises Unread."""
    if content.sealed or content.type == "ole-encrypted":
        raise Unread("is encrypted")
    data = content.data[:OCTETS_MOST]
    if content.type == "pdf":
        found = _pdf(content.data)
    elif content.type == "rtf":
        found = _rtf(data)
    elif content.within in {"ole", "msg"} and content.type not in TEXTS:
        found = _strings(data)
    elif content.type not in TEXTS:
        return ""
    else:
        found = decoded(data, content.part.charset if content.part is not None else "")
        if content.type in {"html", "hta", "svg"} or content.declared == "text/html":
            found = _without_tags(found, _INLINE, inline=True)
        elif content.within in {"ooxml", "odf"}:
            found = _without_tags(found, _BREAKS, inline=False)
        elif content.type == "xml":
            found = _without_tags(found, frozenset(), inline=True)
    if len(content.data) > OCTETS_MOST:
        raise Unread(f"is longer than {OCTETS_MOST} octets")
    return found


def plain(found: str) -> str:
    """Return the text in the form in which it is searched: one form of each character, none that nobody sees."""
    return found if found.isascii() else unicodedata.normalize("NFKC", _UNSEEN.sub("", found))


def decoded(data: bytes, charset: str) -> str:
    """Return the octets as text; a mark at the beginning has the last word, then zeros at every second place."""
    for mark, name in _CHARSET:
        if data.startswith(mark):
            return data.decode(name, "replace")
    if len(data) > 7 and data[1:40:2].count(0) > len(data[1:40:2]) // 2:  # noqa: PLR2004  # too short to tell
        return data.decode("utf-16-le", "replace")
    return text.from_bytes(data, charset)


def _without_tags(markup: str, names: frozenset[str], *, inline: bool) -> str:
    """Return the text between the tags. `names` are those that end no word (`inline`), or the only ones that do."""

    lower = markup.lower()
    pieces: list[str] = []
    unclosed: set[str] = set()  # looked for once: looking again and again would take quadratic time
    at = 0
    while (found := _TAG.search(markup, at)) is not None:
        name = (found.group(2) or "!--").lower()
        pieces += (markup[at : found.start()], "" if (name in names) is inline else "\n")
        at = found.end()
        if name in _UNSHOWN and not found.group(1):
            at = _past(lower, name, at, unclosed)
    pieces.append(markup[at:])
    return html.unescape("".join(pieces))


def _past(lower: str, name: str, at: int, unclosed: set[str]) -> int:
    """Return where reading goes on after what isn't shown; what is never closed is read."""
    close = "-->" if name == "!--" else f"</{name}"
    end = -1 if name in unclosed else lower.find(close, at)
    if end < 0:
        unclosed.add(name)
        return at
    return end + len(close) if name == "!--" else end


def _rtf(data: bytes) -> str:
    spoken = _RTF_WORD.sub(b"", _RTF_BREAK.sub(b"\n", data))
    return _RTF_HEX.sub(lambda found: bytes((int(found.group(1), 16),)), spoken).decode("cp1252", "replace")


def _strings(data: bytes) -> str:
    wide = [found.group().decode("utf-16-le") for found in _WIDE.finditer(data)]
    return "\n".join([*wide, *(found.group().decode("latin-1") for found in _NARROW.finditer(data))])


def _pdf(data: bytes) -> str:
    until = time.process_time() + PDF_SECONDS
    pieces: list[str] = []
    size = 0
    try:
        with pypdfium2.PdfDocument(data) as document:
            if len(document) > PAGES_MOST:
                raise Unread(f"has more than {PAGES_MOST} pages")
            for page in document:
                pieces.append(page.get_textpage().get_text_bounded())
                size += len(pieces[-1])
                if size > OCTETS_MOST or time.process_time() > until:
                    raise Unread("is too much to read")
    except pypdfium2.PdfiumError as error:
        raise Unread("is encrypted or broken") from error
    return "\n".join(pieces)
