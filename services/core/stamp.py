"""A notice below the texts of a message, plain and HTML, wherever nothing that is signed or sealed is touched.

No header field is changed, and of the body only the part that gets the notice: what is put in is encoded as that part
is, so type, charset and transfer encoding go on saying what is there. What isn't sure to be understood as every reader
understands it stays as it came.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import dataclasses
import email.message
import html
import quopri
import re
import textwrap
import unicodedata
from collections.abc import Iterable
from typing import Final

from services.core.headers import fields, header_end

DEPTH_MOST: Final = 20
PARTS_MOST: Final = 200
COLUMNS: Final = 72  # of the notice in plain text
PARAMETERS_MOST: Final = 4_096  # octets of a field that are read for parameters

# What is signed as it stands, or is no text of a person's: S/MIME (RFC 8551), PGP/MIME (RFC 3156), reports (RFC 6522),
# pieces of something (RFC 2046 section 5.2).
SEALED: Final = frozenset(
    {
        "multipart/signed",
        "multipart/encrypted",
        "multipart/report",
        "application/pkcs7-mime",
        "application/x-pkcs7-mime",
        "application/pkcs7-signature",
        "application/x-pkcs7-signature",
        "application/pgp-encrypted",
        "application/pgp-signature",
        "message/partial",
        "message/external-body",
    }
)
_ENTERED: Final = frozenset({"multipart/mixed", "multipart/alternative", "multipart/related"})
_PLAIN: Final = "text/plain"
_HTML: Final = "text/html"
_AS_IT_STANDS: Final = frozenset({"", "7bit", "8bit", "binary"})
_PGP: Final = re.compile(rb"^-----BEGIN PGP ", re.MULTILINE)  # a signature or a cipher within the text (RFC 9580)
_ENDS: Final = (re.compile(rb"</body", re.IGNORECASE), re.compile(rb"</html", re.IGNORECASE))
# Of what a signature of the message's may say, what means that it holds for nobody (RFC 8601 section 2.7.1).
_FAILED: Final = frozenset({"fail", "permerror", "none"})
_SIGNATURES: Final = {b"dkim-signature": "dkim", b"arc-message-signature": "arc"}


class _Untouchable(Exception):  # noqa: N818  # no error: an answer
    """Nothing in the message may be changed."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """A text of the message, by where its body lies."""

    kind: str
    start: int
    end: int
    charset: str
    encoding: str


def may_be_stamped(header: bytes, auth_results: Iterable[tuple[str, str]]) -> bool:
    """Return whether no signature of the whole message (DKIM, ARC) that holds would be broken.

    One that nobody has checked may hold. `auth_results` are pairs of method and result, as `auth` found them.
    """
    said: dict[str, list[str]] = {}
    for method, result in auth_results:
        said.setdefault(method, []).append(result.split(" ", 1)[0])
    for name in {field.name for field in fields(header)} & set(_SIGNATURES):
        results = said.get(_SIGNATURES[name], [])
        if not results or not _FAILED.issuperset(results):
            return False
    return True


def stamp(message: memoryview, notice: str) -> list[bytes | memoryview] | None:
    """Return the message's body in pieces, with the notice in it; None where it stays as it is.

    The message is everything, header block and all; the pieces are what follows the octets that `header_end` counts.
    """
    found: list[_Part] = []
    try:
        _walk(message, 0, len(message), found, 0)
        pieces = _texts(message, found, notice)
    except _Untouchable:
        return None
    if not pieces:
        return None
    parts: list[bytes | memoryview] = []
    at = header_end(message)
    for start, end, octets in sorted(pieces):
        parts += [message[at:start], octets]
        at = end
    return [*parts, message[at:]]


def _walk(message: memoryview, start: int, end: int, found: list[_Part], depth: int) -> None:
    """Note the texts of the entity that lies there; raise _Untouchable for what is sealed, or can be read twice."""
    if depth > DEPTH_MOST or len(found) > PARTS_MOST:
        raise _Untouchable
    length = header_end(message[start:end])
    head = _content_fields(bytes(message[start : start + length]))
    at = _after_line(message, start + length, end)
    kind = head.get_content_type()
    if kind in SEALED or head.get("content-disposition", "").lower().startswith("attachment"):
        if kind in SEALED:
            raise _Untouchable
        return
    if kind in _ENTERED:
        pieces = _cut(message, at, end, head.get_boundary(""))
        for first, last in pieces[:1] if kind == "multipart/related" else pieces:
            _walk(message, first, last, found, depth + 1)
    elif kind in {_PLAIN, _HTML} and head.get_filename() is None:
        encoding = head.get("content-transfer-encoding", "").strip().lower()
        found.append(_Part(kind, at, end, str(head.get_content_charset("us-ascii")), encoding))


def _content_fields(header: bytes) -> email.message.Message:
    """Return the fields that say how to read the body; raise _Untouchable where one says it twice."""
    message = email.message.Message()
    for field in fields(header):
        name = field.name.decode("latin-1")
        if name.startswith("content-"):
            if name in message:
                raise _Untouchable
            value = header[field.value : field.end][:PARAMETERS_MOST].decode("utf-8", "replace")
            message[name] = " ".join(value.split())
    return message


def _cut(message: memoryview, start: int, end: int, boundary: str) -> list[tuple[int, int]]:
    """Return where the parts of a multipart lie (RFC 2046 section 5.1.1)."""
    if not boundary:
        raise _Untouchable
    mark = re.escape(boundary.encode("utf-8", "surrogateescape"))
    line = re.compile(rb"(?:^|\r?\n)--" + mark + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    pieces: list[tuple[int, int]] = []
    begun: int | None = None
    for hit in line.finditer(message[start:end]):
        if begun is not None:
            pieces.append((begun, max(begun, start + hit.start())))
        if hit.group(1) and begun is not None:
            return pieces
        if len(pieces) > PARTS_MOST:
            raise _Untouchable
        begun = _after_line(message, start + hit.end(), end)
    raise _Untouchable  # it isn't closed: another reader may see other parts


def _after_line(message: memoryview, at: int, end: int) -> int:
    """Return where the body begins: behind the empty line."""
    if bytes(message[at : min(at + 2, end)]) == b"\r\n":
        return at + 2
    return min(at + 1, end)


def _texts(message: memoryview, found: list[_Part], notice: str) -> list[tuple[int, int, bytes]]:
    """Return what replaces which octets: of the first text of either kind."""
    pieces = []
    for kind in (_PLAIN, _HTML):
        part = next((each for each in found if each.kind == kind), None)
        piece = None if part is None else _stamped(message, part, notice)
        if piece is not None:
            pieces.append(piece)
    return pieces


def _stamped(message: memoryview, part: _Part, notice: str) -> tuple[int, int, bytes] | None:
    """Return the octets that replace others of the part; None for one in a form that isn't sure."""
    if not _like_ascii(part.charset):
        return None
    body = bytes(message[part.start : part.end])
    if part.encoding == "base64":
        return _in_base64(part, body, notice)
    quoted = part.encoding == "quoted-printable"
    if not quoted and part.encoding not in _AS_IT_STANDS:
        return None
    if _PGP.search(body):
        raise _Untouchable
    if part.kind == _HTML:
        at = _html_end(body)
        octets = _html(notice)
        if quoted:
            octets = b"=\r\n" + _quoted(octets) + b"=\r\n" if at < len(body) else b"\r\n" + _quoted(octets) + b"\r\n"
    else:
        at = len(body)
        octets = _quoted(_plain(notice, part.charset)) if quoted else _plain(notice, "us-ascii")
        octets = (b"" if body.endswith((b"\n", b"\r")) or not body else b"\r\n") + octets
    return part.start + at, part.start + at, octets


def _in_base64(part: _Part, body: bytes, notice: str) -> tuple[int, int, bytes] | None:
    try:
        text = binascii.a2b_base64(body.translate(None, b"\r\n \t"), strict_mode=True)
    except binascii.Error:
        return None  # readers differ in what they make of it
    if _PGP.search(text):
        raise _Untouchable
    at = _html_end(text) if part.kind == _HTML else len(text)
    octets = _html(notice) if part.kind == _HTML else b"\r\n" + _plain(notice, part.charset)
    encoded = base64.encodebytes(text[:at] + octets + text[at:]).replace(b"\n", b"\r\n")
    return part.start, part.end, encoded


def _html_end(text: bytes) -> int:
    """Return where the notice goes: before the end of the body, or of the document, or after everything."""
    for pattern in _ENDS:
        last = None
        for last in pattern.finditer(text):  # noqa: B007  # the last one is wanted
            pass
        if last is not None:
            return last.start()
    return len(text)


def _plain(notice: str, charset: str) -> bytes:
    lines = ["", "_" * 20, *textwrap.wrap(notice, COLUMNS)]
    text = "\r\n".join(lines) + "\r\n"
    try:
        return text.encode(charset)
    except UnicodeError:
        return unicodedata.normalize("NFKD", text).encode("ascii", "ignore")


def _html(notice: str) -> bytes:
    """Return the notice as HTML in ASCII alone, which means the same in every charset that has ASCII in it."""
    said = html.escape(notice).encode("ascii", "xmlcharrefreplace").decode("ascii")
    style = "clear:both;margin-top:1em;padding-top:0.5em;border-top:1px solid #888;font-size:small"
    return f'<div style="{style}"><p>{said}</p></div>'.encode("ascii")


def _quoted(octets: bytes) -> bytes:
    return quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")


def _like_ascii(charset: str) -> bool:
    """Return whether the charset is known, and its lower half is ASCII's: UTF-16 and UTF-7 aren't that."""
    try:
        codecs.lookup(charset)
        return "<a+".encode(charset) == b"<a+"
    except (LookupError, UnicodeError, ValueError):
        return False
