"""A customer's disclaimer under what it sends: at the end of its text and of its HTML, everything else byte for byte.

What is signed or encrypted is left alone, and so is a report: a change would break it. So is what isn't sound MIME.
"""

from __future__ import annotations

import binascii
import email.message
import email.parser
import html
import re
from typing import Final, NamedTuple

from schemas.events import Disclaimer
from services.core.headers import fields, header_end

DEPTH_MOST: Final = 8
PARTS_MOST: Final = 200
HEADER_MOST: Final = 65_536  # octets of a header that is looked into for MIME
LINE_MOST: Final = 998  # octets (RFC 5322 section 2.1.1)

_ALONE: Final = frozenset(
    {
        "multipart/signed", "multipart/encrypted", "multipart/report", "application/pkcs7-mime",
        "application/x-pkcs7-mime", "application/pgp-encrypted",
    }
)  # fmt: skip
_PGP: Final = re.compile(rb"^-----BEGIN PGP (?:SIGNED )?MESSAGE-----", re.MULTILINE)
_END: Final = re.compile(rb"</body\s*>|</html\s*>", re.IGNORECASE)
_MIME: Final = frozenset({b"content-type", b"content-transfer-encoding"})


class _LeftAlone(Exception):  # noqa: N818  # control flow inside this module
    """Nothing of the message may be changed, or can be."""


class _Entity(NamedTuple):
    header: bytes  # with the line end of its last field
    body: bytes  # after the empty line
    empty: bytes  # that line
    kind: str
    fields: email.message.Message


def with_disclaimer(message: bytes | memoryview, disclaimer: Disclaimer) -> bytes | memoryview:
    """Return the message with the disclaimer, the very same object where it is left alone."""
    if not disclaimer.text:
        return message
    try:
        return _changed(bytes(message), disclaimer, 0, top=True)
    except _LeftAlone:
        return message


def as_html(disclaimer: Disclaimer) -> str:
    """Return the HTML: the customer's own, or the text as a paragraph."""
    if disclaimer.html:
        return disclaimer.html
    return "<p>" + "<br>\r\n".join(html.escape(line) for line in disclaimer.text.splitlines()) + "</p>"


def _changed(octets: bytes, disclaimer: Disclaimer, depth: int, *, top: bool = False) -> bytes:
    """Return an entity with the disclaimer where people read it; the same octets where nobody does."""
    entity = _entity(octets)
    if entity.kind in _ALONE or depth > DEPTH_MOST:
        raise _LeftAlone
    if entity.fields.get_content_disposition() == "attachment":
        return octets
    match entity.kind:
        case "text/plain" | "text/html":
            return _leaf(entity, disclaimer, top=top)
        case "multipart/alternative" | "multipart/mixed" | "multipart/related":
            return entity.header + entity.empty + _multipart(entity, disclaimer, depth)
    if top:
        raise _LeftAlone
    return octets


def _entity(octets: bytes) -> _Entity:
    end = header_end(octets)
    empty = b"\r\n" if octets[end : end + 2] == b"\r\n" else b""
    if end > HEADER_MOST or any(not each.name for each in fields(octets[:end])):
        raise _LeftAlone
    parsed = email.parser.BytesHeaderParser().parsebytes(octets[:end])
    return _Entity(octets[:end], octets[end + len(empty) :], empty, parsed.get_content_type(), parsed)


# --- parts


def _multipart(entity: _Entity, disclaimer: Disclaimer, depth: int) -> bytes:
    boundary = entity.fields.get_boundary()
    if not boundary or not boundary.isascii() or not entity.empty:
        raise _LeftAlone
    mark = re.escape(boundary.encode())
    found = list(re.finditer(rb"(?:\A|(?<=\r\n))--" + mark + rb"(?P<last>--)?[ \t]*(?:\r\n|\Z)", entity.body))
    last = next((at for at, match in enumerate(found) if match["last"]), None)
    if not last or last > PARTS_MOST:  # no end, or no parts
        raise _LeftAlone
    pieces, at = [], 0
    some = False
    for number in range(last):
        start, end = found[number].end(), found[number + 1].start() - 2  # the CRLF before it belongs to the boundary
        if end < start:
            raise _LeftAlone
        read = number == 0 or entity.kind == "multipart/alternative"
        part = entity.body[start:end]
        changed = _changed(part, disclaimer, depth + 1) if read else part
        some |= changed != part
        pieces += [entity.body[at:start], changed]
        at = end
    if not some and depth == 0 and entity.kind == "multipart/mixed":
        pieces.append(b"\r\n--" + boundary.encode() + b"\r\n" + _part(disclaimer))
    return b"".join([*pieces, entity.body[at:]])


def _part(disclaimer: Disclaimer) -> bytes:
    """Return a text part of its own, for a message that has attachments alone."""
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head + binascii.b2a_qp(_lines(disclaimer.text).encode())


# --- text


def _leaf(entity: _Entity, disclaimer: Disclaimer, *, top: bool) -> bytes:
    encoding = str(entity.fields.get("content-transfer-encoding", "7bit")).strip().lower()
    charset = (entity.fields.get_content_charset("us-ascii") or "us-ascii").lower()
    raw = _decoded(entity.body, encoding)
    if _PGP.search(raw) or not (entity.empty or top):
        raise _LeftAlone
    is_html = entity.kind == "text/html"
    text = as_html(disclaimer) if is_html else "\r\n" + _lines(disclaimer.text)
    text = f"\r\n{text}\r\n"
    try:
        piece = text.encode(charset, "xmlcharrefreplace" if is_html else "strict")
    except UnicodeEncodeError:
        raw, charset = _in_utf8(raw, charset), "utf-8"
        piece = text.encode()
    except (LookupError, UnicodeError) as error:
        raise _LeftAlone from error
    joined = _before_end(raw, piece) if is_html else raw.rstrip(b"\r\n") + piece
    body, chosen = _encoded(joined, encoding)
    header = entity.header
    if chosen != encoding or charset != (entity.fields.get_content_charset("us-ascii") or "us-ascii").lower():
        header = _with_fields(entity, charset, chosen, top=top)
    return header + (entity.empty or b"\r\n") + body


def _decoded(body: bytes, encoding: str) -> bytes:
    try:
        match encoding:
            case "7bit" | "8bit" | "":
                return body
            case "quoted-printable":
                return binascii.a2b_qp(body)
            case "base64":
                return binascii.a2b_base64(body)
    except binascii.Error as error:
        raise _LeftAlone from error
    raise _LeftAlone


def _in_utf8(raw: bytes, charset: str) -> bytes:
    try:
        return raw.decode(charset).encode()
    except (LookupError, UnicodeError) as error:
        raise _LeftAlone from error


def _before_end(raw: bytes, piece: bytes) -> bytes:
    """Return the HTML with the piece before the end of its body, or at the end where it has none."""
    ends = [match.start() for match in _END.finditer(raw)]
    bodies = [at for at in ends if raw[at : at + 6].lower() == b"</body"]
    at = (bodies or ends or [len(raw)])[-1]
    return raw[:at] + piece + raw[at:]


def _encoded(raw: bytes, encoding: str) -> tuple[bytes, str]:
    """Return the octets as they go into a body, and the encoding: the one there was, where it still will do."""
    if encoding == "base64":
        lines = [binascii.b2a_base64(raw[at : at + 57], newline=False) for at in range(0, len(raw), 57)]
        return b"\r\n".join(lines) + b"\r\n", encoding
    fits = all(len(line) <= LINE_MOST for line in raw.split(b"\r\n")) and b"\0" not in raw
    if encoding == "8bit" and fits:
        return raw, encoding
    if encoding in {"7bit", ""} and fits and raw.isascii():
        return raw, encoding
    return binascii.b2a_qp(raw), "quoted-printable"


def _with_fields(entity: _Entity, charset: str, encoding: str, *, top: bool) -> bytes:
    """Return the header with these said of its content; other parameters of Content-Type stay."""
    message = entity.fields
    parameters = message.get_params(failobj=[])[1:] if "content-type" in message else []
    kept = [f'{name}="{value}"' for name, value in parameters if name.lower() != "charset" and _plain(value)]
    said = "; ".join([entity.kind, f"charset={charset}", *kept])
    rest = b"".join(entity.header[f.start : f.end] for f in fields(entity.header) if f.name not in _MIME)
    version = b"MIME-Version: 1.0\r\n" if top and "mime-version" not in message else b""
    return rest + version + f"Content-Type: {said}\r\nContent-Transfer-Encoding: {encoding}\r\n".encode("ascii")


def _plain(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and '"' not in value and "\\" not in value


def _lines(text: str) -> str:
    return "\r\n".join(text.splitlines())
