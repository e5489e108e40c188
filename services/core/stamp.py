"""A text below the texts of a message, plain and HTML: a customer's disclaimer, a rule's stamp, the notice of a lapse.

Nothing else changes, octet by octet, and of the text nothing but its end, as long as its charset and transfer encoding
can say what is put there; else that text is written anew as UTF-8. What is signed or encrypted is left alone, and so is
a report: a change would break it. So is what isn't sure to be understood as every reader understands it.
"""

from __future__ import annotations

import binascii
import codecs
import html
import re
from collections.abc import Iterable, Iterator
from typing import Final

from schemas.events import Disclaimer
from services.core.entities import AS_IT_STANDS, OPAQUE, Edit, Entity, described, edited, read
from services.core.headers import fields

LINE_MOST: Final = 998  # octets (RFC 5322 section 2.1.1)

# What is signed as it stands, or is no text of a person's: also reports (RFC 6522) and pieces (RFC 2046 section 5.2).
SEALED: Final = OPAQUE | {"multipart/signed", "multipart/report", "message/partial", "message/external-body"}
_ENTERED: Final = frozenset({"multipart/mixed", "multipart/alternative", "multipart/related"})
_PLAIN: Final = "text/plain"
_HTML: Final = "text/html"
_SAID: Final = frozenset({b"content-type", b"content-transfer-encoding"})
_PGP: Final = re.compile(rb"^-----BEGIN PGP ", re.MULTILINE)  # a signature or a cipher within the text (RFC 9580)
_ENDS: Final = (re.compile(rb"</body", re.IGNORECASE), re.compile(rb"</html", re.IGNORECASE))
# Of what a signature of the message's may say, what means that it holds for nobody (RFC 8601 section 2.7.1).
_FAILED: Final = frozenset({"fail", "permerror", "none"})
_SIGNATURES: Final = {b"dkim-signature": "dkim", b"arc-message-signature": "arc"}


class _Untouchable(Exception):  # noqa: N818  # no error: an answer
    """Nothing in the message may be changed."""


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


def stamp(message: bytes | memoryview, text: Disclaimer) -> bytes | memoryview:
    """Return the message with the text below its own, the very same object where it is left alone."""
    if not text.text:
        return message
    octets = bytes(message)
    root = read(octets)
    try:
        edits = _edits(octets, root, text)
    except _Untouchable:
        return message
    return edited(octets, edits) if edits else message


def as_html(text: Disclaimer) -> str:
    """Return the HTML: the customer's own, or the text as a paragraph."""
    if text.html:
        return text.html
    return "<p>" + "<br>\r\n".join(html.escape(line) for line in text.text.splitlines()) + "</p>"


def text_part(text: str) -> bytes:
    """Return a part of its own that says this, header and all."""
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head + quoted(text)


def quoted(text: str) -> bytes:
    """Return the text in UTF-8, quoted-printable, with CRLF at each line's end but the last."""
    return binascii.b2a_qp("\r\n".join(text.splitlines()).encode())


def _edits(message: bytes, root: Entity, text: Disclaimer) -> list[Edit]:
    """Return what puts it below the first text of either kind, or into a part of its own where there is no text."""
    found = list(_texts(root))
    edits: list[Edit] = []
    for kind in (_PLAIN, _HTML):
        part = next((each for each in found if each.kind == kind), None)
        if part is not None:
            edits += _below(message, part, text)
    if not edits and root.kind == "multipart/mixed":
        boundary = str(root.head.get_boundary()).encode()
        last = root.inside[-1].end
        edits = [(last, last, b"\r\n--" + boundary + b"\r\n" + text_part(text.text))]
    return edits


def _texts(entity: Entity) -> Iterator[Entity]:
    """Yield the texts that people read; raise _Untouchable for what is sealed, or can be read in two ways."""
    if entity.kind in SEALED:
        raise _Untouchable
    if entity.attached:
        return
    if entity.doubt or not entity.closed:
        raise _Untouchable
    if entity.kind in _ENTERED:
        for each in entity.inside[:1] if entity.kind == "multipart/related" else entity.inside:
            yield from _texts(each)
    elif entity.kind in {_PLAIN, _HTML} and (entity.parent is None or not entity.names):
        yield entity


def _below(message: bytes, part: Entity, text: Disclaimer) -> list[Edit]:
    """Return the edits of one text; none for one in a form that isn't sure."""
    body = message[part.body : part.end]
    raw = _decoded(body, part.encoding)
    if raw is None or not _room(message, part):
        return []
    if _PGP.search(raw):
        raise _Untouchable
    in_html = part.kind == _HTML
    said = as_html(text) if in_html else "\r\n".join(text.text.splitlines())
    charset = str(part.head.get_content_charset("us-ascii") or "us-ascii")
    piece = _encoded(said, charset, in_html=in_html)
    gap = b"" if part.body > part.fields_end else b"\r\n"  # the empty line, where the message ends with its header
    if piece is not None and _fits(piece, part.encoding):
        at, end = _place(body, in_html=in_html)
        octets = binascii.b2a_qp(piece) if part.encoding == "quoted-printable" else piece
        return [(part.body + at, part.body + end, gap + _joint(body[:at], octets, in_html=in_html))]
    if piece is None:
        recoded = _in_utf8(raw, charset)
        if recoded is None:
            return []
        raw, piece, changed = recoded, said.encode(), "utf-8"
    else:
        changed = charset
    at, end = _place(raw, in_html=in_html)
    raw = raw[:at] + _joint(raw[:at], piece, in_html=in_html) + raw[end:]
    encoding = "base64" if part.encoding == "base64" else "quoted-printable"
    octets = _lines64(raw) if encoding == "base64" else binascii.b2a_qp(raw)
    said_anew = (changed, encoding) != (charset, part.encoding)
    edits = described(message, part, _kind(part, changed), encoding, _SAID) if said_anew else []
    return [*edits, (part.body, part.end, gap + octets)]


def _room(message: bytes, part: Entity) -> bool:
    """Return whether it has an empty line behind its header, or is a message that may get one."""
    return part.body > part.fields_end or (part.parent is None and message.endswith(b"\n"))


def _decoded(body: bytes, encoding: str) -> bytes | None:
    """Return the text's octets; None where readers may differ in what they make of it."""
    if encoding in AS_IT_STANDS:
        return body
    try:
        if encoding == "quoted-printable":
            return binascii.a2b_qp(body)
        if encoding == "base64":
            return binascii.a2b_base64(body.translate(None, b"\r\n \t"), strict_mode=True)
    except binascii.Error:
        return None
    return None


def _encoded(said: str, charset: str, *, in_html: bool) -> bytes | None:
    """Return it in the charset; None where that can't say it, or is none in which ASCII means ASCII.

    In HTML it is ASCII alone, which means the same in all the others.
    """
    try:
        codecs.lookup(charset)
        if "<a+".encode(charset) != b"<a+":
            return None
        return said.encode("ascii", "xmlcharrefreplace") if in_html else said.encode(charset)
    except (LookupError, UnicodeError, ValueError):
        return None


def _in_utf8(raw: bytes, charset: str) -> bytes | None:
    if charset in {"utf-7", "unicode-1-1-utf-7"}:  # which few readers still read
        return None
    try:
        return raw.decode(charset).encode()
    except (LookupError, UnicodeError, ValueError):
        return None


def _fits(piece: bytes, encoding: str) -> bool:
    """Return whether it may stand in a body of that encoding with the rest left as it is."""
    if encoding == "quoted-printable":
        return True
    if encoding not in AS_IT_STANDS or max(map(len, piece.split(b"\r\n"))) > LINE_MOST or b"\0" in piece:
        return False
    return encoding in {"8bit", "binary"} or piece.isascii()


def _place(octets: bytes, *, in_html: bool) -> tuple[int, int]:
    """Return what is replaced: line ends behind a text; in HTML nothing before the end of its body, or of it all."""
    if not in_html:
        return len(octets.rstrip(b"\r\n")), len(octets)
    for pattern in _ENDS:
        last = None
        for last in pattern.finditer(octets):  # noqa: B007  # the last one is wanted
            pass
        if last is not None:
            return last.start(), last.start()
    return len(octets), len(octets)


def _joint(before: bytes, piece: bytes, *, in_html: bool) -> bytes:
    if in_html:
        return b"\r\n" + piece + b"\r\n"
    return (b"\r\n\r\n" if before else b"") + piece + b"\r\n"


def _lines64(raw: bytes) -> bytes:
    lines = [binascii.b2a_base64(raw[at : at + 57], newline=False) for at in range(0, len(raw), 57)]
    return b"\r\n".join(lines) + b"\r\n"


def _kind(part: Entity, charset: str) -> str:
    """Return the value of Content-Type with this charset; other parameters stay, as far as they are plain words."""
    parameters = part.head.get_params(failobj=[])[1:] if "content-type" in part.head else []
    kept = [f'{name}="{value}"' for name, value in parameters if name.lower() != "charset" and _plain(value)]
    return "; ".join([part.kind, f"charset={charset}", *kept])


def _plain(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and '"' not in value and "\\" not in value
