"""The MIME entities of a message by where they lie, so that one can be changed and the others stay octet by octet.

Read in one way only (RFC 2045, 2046). What another reader might read otherwise is marked as doubtful, and it is the
caller's to say what becomes of that.
"""

from __future__ import annotations

import binascii
import dataclasses
import email.message
import re
from collections.abc import Iterable
from email.errors import HeaderParseError
from email.header import decode_header
from typing import Final

from services.core.headers import fields, header_end

DEPTH_MOST: Final = 20
PARTS_MOST: Final = 1_000
HEADER_MOST: Final = 1_048_576  # octets of the header of one entity
PARAMETERS_MOST: Final = 4_096  # octets of a field that are read for parameters
NAME_MOST: Final = 1_000  # characters of a file's name

# What is in it is not to be seen: encrypted, or signed in a form that wraps it (RFC 8551, RFC 3156).
OPAQUE: Final = frozenset({"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"})
AS_IT_STANDS: Final = frozenset({"", "7bit", "8bit", "binary"})
KNOWN: Final = AS_IT_STANDS | {"base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue"}
_HIDES: Final = KNOWN - AS_IT_STANDS - {"quoted-printable"}
_BEHIND: Final = frozenset({b"", b"\r", b"\n", b" ", b"\t", b"-"})  # what may stand behind a boundary
NESTED: Final = "message/rfc822"

_BOUNDARIES: Final = re.compile(r"boundary[*0-9]{0,6}\s*=\s*(?:\"([^\"]{1,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE)
_WORD: Final = re.compile(r"[a-z0-9-]{1,40}")


@dataclasses.dataclass(slots=True)
class Entity:
    """A message or a part of one. All numbers are places in the octets of the whole message."""

    start: int
    fields_end: int  # of its header block, without the empty line
    body: int
    end: int
    head: email.message.Message  # the fields that say how to read the body
    kind: str
    encoding: str  # transfer encoding, lower case
    parent: Entity | None = None
    inside: list[Entity] = dataclasses.field(default_factory=list)
    doubt: bool = False  # others may read it otherwise, or it is too much to be read
    closed: bool = True  # False: a multipart whose end isn't marked

    @property
    def top(self) -> bool:
        """Return whether it is a message, and no part of one."""
        return self.parent is None or self.parent.kind == NESTED

    @property
    def attached(self) -> bool:
        """Return whether it is marked as a file to be saved."""
        return str(self.head.get("content-disposition", "")).lower().lstrip().startswith("attachment")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names that readers may save it under."""
        found = (self.head.get_param(key, None, field) for key, field in _NAMED)
        return tuple(dict.fromkeys(_shown(each)[:NAME_MOST] for each in found if each))


_NAMED: Final = (("filename", "content-disposition"), ("name", "content-type"))


def read(message: bytes, *, nested: bool = False) -> Entity:
    """Return the message's own entity; `nested`: messages in it are entered too. Nothing raises, whatever it is."""
    root = _entity(message, 0, len(message), None)
    todo = [(root, 0)]
    count = 1
    while todo:
        entity, depth = todo.pop()
        pieces = _pieces(message, entity, nested=nested)
        if not pieces:
            continue
        count += len(pieces)
        if depth >= DEPTH_MOST or count > PARTS_MOST:
            entity.doubt = True
            continue
        entity.inside = [_entity(message, start, end, entity) for start, end in pieces]
        todo += [(each, depth + 1) for each in entity.inside]
    return root


Edit = tuple[int, int, bytes]  # from, to, and what stands there then


def edited(message: bytes, edits: Iterable[Edit]) -> bytes:
    """Return the message after edits that don't overlap; two at one place are made in their order."""
    pieces: list[bytes | memoryview] = []
    view = memoryview(message)
    at = 0
    for start, end, octets in sorted(edits, key=lambda edit: edit[:2]):
        pieces += [view[at:start], octets]
        at = end
    return b"".join([*pieces, view[at:]])


def described(
    message: bytes, entity: Entity, kind: str, encoding: str, gone: frozenset[bytes] = frozenset()
) -> list[Edit]:
    """Return the edits that let the header say this of the body, in the place of the fields in `gone`.

    Empty: of all that say something of the body. `kind` is a whole value of Content-Type. What is no part of another
    message says that it is MIME.
    """
    header = message[entity.start : entity.fields_end]
    found = list(fields(header))
    replaced = [each for each in found if (each.name in gone if gone else each.name.startswith(b"content-"))]
    version = b"" if not entity.top or any(each.name == b"mime-version" for each in found) else b"MIME-Version: 1.0\r\n"
    said = version + f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n".encode("ascii")
    if header and not header.endswith((b"\r", b"\n")):
        said = b"\r\n" + said
    edits = [(entity.start + each.start, entity.start + each.end, b"") for each in replaced]
    return [*edits, (entity.fields_end, entity.fields_end, said)]


def _entity(message: bytes, start: int, end: int, parent: Entity | None) -> Entity:
    view = memoryview(message)[start:end]
    length = header_end(view)
    at = start + length
    body = at + 2 if message[at : min(at + 2, end)] == b"\r\n" else min(at + 1, end)
    head = email.message.Message()
    made = Entity(start, at, body, end, head, "text/plain", "", parent)
    if length > HEADER_MOST:
        made.doubt = True
        return made
    header = bytes(view[:length])
    for number, field in enumerate(fields(header)):
        name = field.name.decode("latin-1")
        if name.startswith("content-"):
            made.doubt |= name in head
            value = header[field.value : field.end][:PARAMETERS_MOST].decode("utf-8", "replace")
            head[name] = " ".join(value.split())
        elif not name and not (number == 0 and parent is None and header.startswith((b"From ", b">From "))):
            made.doubt = True  # some readers end the header here
    default = "message/rfc822" if parent is not None and parent.kind == "multipart/digest" else "text/plain"
    made.kind = head.get_content_type() if "content-type" in head else default
    said = _WORD.search(str(head.get("content-transfer-encoding", "")).lower())
    made.encoding = said.group() if said else ""
    made.doubt |= made.encoding not in KNOWN and not made.kind.startswith(("text/", "multipart/"))
    return made


def _pieces(message: bytes, entity: Entity, *, nested: bool) -> list[tuple[int, int]]:
    """Return where the entities in it lie; mark it as doubtful where that can't be told for certain."""
    if entity.doubt or entity.kind in OPAQUE:
        return []
    if entity.kind == NESTED:
        entity.doubt = entity.encoding not in AS_IT_STANDS
        return [(entity.body, entity.end)] if nested and not entity.doubt else []
    if not entity.kind.startswith("multipart/"):
        return []
    boundary = str(entity.head.get_boundary(""))
    said = {first or second for first, second in _BOUNDARIES.findall(str(entity.head["content-type"]))}
    pieces, entity.closed = _cut(message, entity.body, entity.end, boundary)
    # Senders put any encoding there, and readers pass over it; but one that they could go by hides all that is in it.
    entity.doubt = entity.encoding in _HIDES or len(said) > 1 or not pieces
    return [] if entity.doubt else pieces


def _cut(message: bytes, start: int, end: int, boundary: str) -> tuple[list[tuple[int, int]], bool]:
    """Return where the parts of a multipart lie (RFC 2046 section 5.1.1), and whether its end is marked."""
    mark = b"--" + boundary.encode()
    pieces: list[tuple[int, int]] = []
    begun: int | None = None
    at = start
    while boundary and len(pieces) <= PARTS_MOST:
        at = message.find(mark, at, end)
        if at < 0:
            break
        line = at
        at += len(mark)
        if (line > start and message[line - 1] not in b"\r\n") or message[at : min(at + 1, end)] not in _BEHIND:
            continue
        stop = _line_end(message, at, end)
        rest = message[at : min(stop, at + 200)].rstrip(b" \t")
        if rest not in (b"", b"--"):
            continue
        if begun is not None:
            before = line - 2 if message[line - 2 : line] == b"\r\n" else line - 1
            pieces.append((begun, max(begun, before)))
        if rest:
            return pieces, True
        at = stop
        begun = stop + 2 if message[stop : min(stop + 2, end)] == b"\r\n" else min(stop + 1, end)
    if begun is not None:
        pieces.append((begun, end))
    return pieces, False


def _line_end(message: bytes, at: int, end: int) -> int:
    """Return where the line ends; a boundary has no more than 70 characters, and blanks behind it are few."""
    most = min(end, at + 1_000)
    ends = [place for place in (message.find(b"\r", at, most), message.find(b"\n", at, most)) if place >= 0]
    return min(ends, default=most)


def _shown(value: object) -> str:
    """Return a name as a person sees it: RFC 2231 read, and RFC 2047 where a sender has used that."""
    if isinstance(value, tuple):
        charset, _, octets = value
        try:
            text = str(octets).encode("latin-1", "replace").decode(charset or "utf-8", "replace")
        except (LookupError, ValueError):
            text = str(octets)
    else:
        text = str(value)
    if "=?" in text:
        try:
            parts = decode_header(text)
            text = "".join(part if isinstance(part, str) else part.decode(code or "utf-8") for part, code in parts)
        except (HeaderParseError, binascii.Error, LookupError, ValueError):
            pass
    return text
