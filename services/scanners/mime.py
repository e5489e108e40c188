"""MIME as octets: the header fields and parts of a message, in one pass, with limits (RFC 5322, 2045, 2046).

Nothing raises and nothing recurses: what is malformed or too much becomes a defect, and the octets stay scannable.
Fields keep their octets as they came, because a DKIM signature covers those.
"""

from __future__ import annotations

import dataclasses
import email.message
import re
from functools import cached_property
from typing import Final, NamedTuple

from services.core.transfer import DECODERS, decode

MAX_PARTS: Final = 1000
MAX_DEPTH: Final = 50
MAX_FIELDS: Final = 2000
MAX_HEADER: Final = 1_048_576  # octets of one header block
_OTHER_BOUNDARIES: Final = 10
_OTHER_PIECES: Final = 100  # parts by a boundary that our reading doesn't go by
_PARAMETERS_LIMIT: Final = 4096  # octets of a field that is looked into for parameters

_BLANK = re.compile(rb"\r?\n\r?\n")
_FIELD = re.compile(rb"([\x21-\x39\x3b-\x7e]+)[ \t]*:")
_COMMENT = re.compile(r"\([^()]{0,200}\)")
_WORD = re.compile(r"[a-z0-9-]{1,40}")
_BOUNDARY = re.compile(rb"boundary[*0-9]{0,6}\s*=\s*(?:[\w-]{0,20}'[\w-]{0,20}')?\"?([^\";\r\n]{1,200})", re.IGNORECASE)
_DELIMITER = re.compile(rb"^--([^\r\n]{1,200}?)[ \t]*\r?\n(?=[\w-]{1,60}:)", re.MULTILINE)
_NEAR: Final = 1000  # octets behind a line that make it a delimiter when they name a field of MIME
_BARE_CR = re.compile(rb"\r(?!\n)")
_USUAL_ENCODINGS: Final = frozenset({"", "7bit", "8bit", "binary", "base64", "quoted-printable"})


class Field(NamedTuple):
    """A header field."""

    name: str  # lower case
    value: bytes  # after the colon, folded as it came, without the final line end
    raw: bytes  # all of it, without the final line end


@dataclasses.dataclass(frozen=True, slots=True)
class Defect:
    """What is wrong with the form of a message. `limit`: we stopped looking there."""

    code: str
    text: str
    limit: bool = False


@dataclasses.dataclass
class Part:
    """A leaf of the MIME tree. `gap`: no leaf, but scanned: text beside parts, or a message that was encoded."""

    path: str  # 1.2.1, as IMAP counts
    content_type: str
    encoding: str
    body: memoryview  # as it came
    charset: str = ""
    filename: str = ""
    gap: bool = False

    @cached_property
    def data(self) -> bytes:
        """Return the decoded octets; what doesn't decode is as it came."""
        return decode(bytes(self.body), self.encoding)


@dataclasses.dataclass
class Tree:
    """All of a message."""

    fields: tuple[Field, ...]
    body: memoryview
    parts: list[Part]
    defects: list[Defect]
    multipart: bool


@dataclasses.dataclass(slots=True)
class _Todo:
    view: memoryview
    path: str
    depth: int
    default: str = "text/plain"
    gap: bool = False  # read in another way than most readers would


def walk(raw: bytes | memoryview) -> Tree:
    """Return the fields, leaves and defects of the message, nested messages included."""
    top = memoryview(raw)
    defects: list[Defect] = []
    fields, body = split(top, defects)
    tree = Tree(fields, body, [], defects, False)
    todo = _entity(tree, fields, body, _Todo(top, "1", 0))
    while todo:
        item = todo.pop()
        if len(tree.parts) >= MAX_PARTS:
            defects.append(Defect("TOO_MANY_PARTS", f"more than {MAX_PARTS} parts", limit=True))
            break
        if item.depth > MAX_DEPTH:
            defects.append(Defect("TOO_DEEP", f"parts nested more than {MAX_DEPTH} deep", limit=True))
            continue
        own, inner = split(item.view, defects)
        todo.extend(_entity(tree, own, inner, item))
    return tree


def split(view: memoryview, defects: list[Defect]) -> tuple[tuple[Field, ...], memoryview]:
    """Return the header fields and the body of an entity. A line that is no field is skipped and noted."""
    first = bytes(view[:2])
    if first.startswith((b"\n", b"\r\n")):
        return (), view[first.index(b"\n") + 1 :]
    found = _BLANK.search(view, 0, MAX_HEADER)
    if found is None:
        if len(view) > MAX_HEADER:
            defects.append(Defect("HEADER_TOO_LONG", f"header of more than {MAX_HEADER} octets", limit=True))
        block, body = bytes(view[:MAX_HEADER]), view[min(len(view), MAX_HEADER) :]
    else:
        block, body = bytes(view[: found.start()]), view[found.end() :]
    if _BARE_CR.search(block):
        defects.append(Defect("HEADER_BARE_CR", "a header with bare carriage returns"))
    return _fields(block, defects), body


def _fields(block: bytes, defects: list[Defect]) -> tuple[Field, ...]:
    collected: list[list[bytes]] = []
    for number, line in enumerate(block.split(b"\n")):
        if line[:1] in (b" ", b"\t"):
            if collected:
                collected[-1].append(line)
        elif _FIELD.match(line):
            collected.append([line])
        elif not (number == 0 and line.startswith(b"From ")) and line.strip():
            defects.append(Defect("HEADER_MALFORMED", "a line of the header is no field"))
            collected.append([])  # what follows belongs to no field before it
        if len(collected) > MAX_FIELDS:
            defects.append(Defect("TOO_MANY_FIELDS", f"more than {MAX_FIELDS} header fields", limit=True))
            break
    fields = []
    for lines in collected:
        raw = b"\n".join(lines).removesuffix(b"\r")
        found = _FIELD.match(raw)
        if found:
            fields.append(Field(found.group(1).decode("ascii").lower(), raw[found.end() :], raw))
    return tuple(fields)


def _entity(tree: Tree, fields: tuple[Field, ...], body: memoryview, item: _Todo) -> list[_Todo]:
    """Add the entity as a leaf, or return what lies in it, last first."""
    header = _content_fields(fields)
    kind = header.get_content_type() if "content-type" in header else item.default
    encoding = _encoding(str(header.get("content-transfer-encoding", "")))
    others = _notes(tree, fields, kind, encoding)
    if kind.startswith("multipart/"):
        tree.multipart = True
        inside = _multipart(tree, header, body, item, kind)
        if inside is not None:
            return [*_otherwise(fields, header.get_boundary(""), (), item, body), *inside]
    if kind == "message/rfc822":
        nested = body
        if encoding in DECODERS:  # not as it stands in the raw message, so it must be scanned as a whole too
            nested = memoryview(decode(bytes(body), encoding))
            tree.parts.append(Part(item.path, kind, "", nested, gap=True))
        return [_Todo(nested, f"{item.path}.1", item.depth + 1, gap=item.gap)]
    name = header.get_filename() or ""
    charset = str(header.get_content_charset("") or "")
    tree.parts.append(Part(item.path, kind, encoding, body, charset, str(name)[:1000], item.gap))
    tree.parts.extend(Part(item.path, kind, other, body, gap=True) for other in others)
    return _otherwise(fields, "", (body,), item, body)


def _encoding(value: str) -> str:
    """Return the content-transfer-encoding that most readers take the value for: the first word that is no comment."""
    found = _WORD.search(_COMMENT.sub(" ", value.lower()))
    return found.group() if found else ""


def _notes(tree: Tree, fields: tuple[Field, ...], kind: str, encoding: str) -> list[str]:
    """Note what readers may take in two ways; return the other encodings that one of them may go by."""
    types = [field for field in fields if field.name == "content-type"]
    encodings = [field for field in fields if field.name == "content-transfer-encoding"]
    if len(types) > 1:
        tree.defects.append(Defect("MIME_TYPE_TWICE", "a part with two types"))
    if len(encodings) > 1:
        tree.defects.append(Defect("MIME_ENCODING_TWICE", "a part with two encodings"))
    if encoding not in _USUAL_ENCODINGS and encoding not in DECODERS:
        tree.defects.append(Defect("MIME_ENCODING_UNKNOWN", "a part in an encoding that isn't known"))
    if kind == "message/partial":
        tree.defects.append(Defect("MIME_PARTIAL", "a piece of a message, which only its receiver would put together"))
    if kind == "message/external-body":
        tree.defects.append(Defect("MIME_ELSEWHERE", "a part whose octets lie elsewhere"))
    said = b" ".join(field.value[:_PARAMETERS_LIMIT] for field in encodings).lower()
    return [name for name in ("base64", "quoted-printable") if name != encoding and name.encode() in said]


def _otherwise(
    fields: tuple[Field, ...], used: object, texts: tuple[memoryview, ...], item: _Todo, body: memoryview
) -> list[_Todo]:
    """Return what a reader would find that goes by another boundary than `used`, last first.

    One that a second type or another form of the parameter names, and those that the texts seem to be cut by.
    """
    if item.gap:
        return []  # what is read in an odd way already is read in no second one
    named = [
        found for field in fields if field.name == "content-type" for found in _BOUNDARY.findall(field.value[:1000])
    ]
    seen = [found for text in texts for found in _delimiters(text)]
    found: list[_Todo] = []
    for boundary in list(dict.fromkeys(value.strip() for value in (*named, *seen)))[:_OTHER_BOUNDARIES]:
        if boundary and boundary != str(used).encode("utf-8", "surrogateescape"):
            pieces, _, _ = _cut(body, boundary)
            found += [
                _Todo(piece, f"{item.path}.{number}", item.depth + 1, gap=True)
                for number, piece in enumerate(pieces[:_OTHER_PIECES], 1)
            ]
    return found[::-1]


def _delimiters(text: memoryview) -> list[bytes]:
    """Return what stands in lines that some reader takes for delimiters, since fields of MIME come behind them."""
    octets = bytes(text)
    if not octets.startswith(b"--") and b"\n--" not in octets:
        return []
    near = ((found.group(1), octets[found.end() : found.end() + _NEAR]) for found in _DELIMITER.finditer(octets))
    return [boundary for boundary, behind in near if b"content-" in behind.lower()]


def _multipart(
    tree: Tree, header: email.message.Message, body: memoryview, item: _Todo, kind: str
) -> list[_Todo] | None:
    boundary = header.get_boundary("")
    if not boundary:
        tree.defects.append(Defect("MIME_NO_BOUNDARY", "a multipart without a boundary"))
        return None
    pieces, gaps, closed = _cut(body, boundary.encode("utf-8", "surrogateescape"))
    if not pieces:
        tree.defects.append(Defect("MIME_NO_PARTS", "a multipart whose boundary never comes"))
        return None
    if not closed:
        tree.defects.append(Defect("MIME_NOT_CLOSED", "a multipart without its end"))
    outside = [gap for gap in gaps if len(gap) > 2]  # noqa: PLR2004  # more than a line end
    tree.parts.extend(Part(f"{item.path}.0", "text/plain", "", gap, gap=True) for gap in outside)
    default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
    room = MAX_PARTS + 1 - len(tree.parts)  # one more than may be, so that the limit is noticed
    todo = [
        _Todo(piece, f"{item.path}.{number}", item.depth + 1, default, item.gap)
        for number, piece in enumerate(pieces[: max(0, room)], 1)
    ]
    todo.extend(found for gap in outside for found in _otherwise((), "", (gap,), item, gap))
    todo.reverse()
    return todo


def _cut(body: memoryview, boundary: bytes) -> tuple[list[memoryview], list[memoryview], bool]:
    """Return the pieces between the delimiter lines, the preamble and epilogue, and whether the end was marked."""
    line = re.compile(rb"(?:^|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    pieces: list[memoryview] = []
    gaps: list[memoryview] = []
    start: int | None = None
    for found in line.finditer(body):
        if start is None:
            gaps.append(body[: found.start()])
        else:
            pieces.append(body[start : max(start, found.start())])
        start = _after_line(body, found.end())
        if found.group(1):
            return pieces, [*gaps, body[start:]], True
    if start is not None:
        pieces.append(body[start:])
    return pieces, gaps, False


def _after_line(view: memoryview, at: int) -> int:
    if bytes(view[at : at + 2]) == b"\r\n":
        return at + 2
    return min(at + 1, len(view))


def _content_fields(fields: tuple[Field, ...]) -> email.message.Message:
    """Return the fields that say how to read the body as the standard library reads them: parameters, RFC 2231."""
    header = email.message.Message()
    for field in fields:
        if field.name.startswith("content-"):
            text = field.value[:_PARAMETERS_LIMIT].decode("utf-8", "replace")
            header[field.name] = text.replace("\r", "").replace("\n", "").strip()
    return header
