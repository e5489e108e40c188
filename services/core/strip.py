"""Attachments taken out of a message, each with a note in its place; all other octets stay as they came.

Whatever might be such a file and can't be told for certain goes as well: what one reader takes for text and another for
a program would otherwise be the way round a rule. So does the signature around what was changed (RFC 1847), since it
holds no more; what is encrypted, or wrapped in its signature, stays, unless the rule wants that out too.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Collection, Iterator
from typing import Final

from schemas.events import Disclaimer
from services.core import filetypes, strip_words
from services.core.entities import AS_IT_STANDS, NESTED, OPAQUE, Edit, Entity, described, edited, read
from services.core.filenames import dangerous, ending
from services.core.headers import fields
from services.core.heading import printable
from services.core.stamp import quoted, stamp, text_part
from services.core.transfer import decode, uuencoded

ALL: Final = "all"
DANGEROUS: Final = "dangerous"
SEALED: Final = "sealed"

_NOTE: Final = "text/plain; charset=utf-8"
_HEAD: Final = 524_288  # octets of a body from which its type is told, and those at its end
_TAIL: Final = 262_144
_SIGNATURES: Final = frozenset(
    {"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"}
)
_UU_NAME: Final = re.compile(rb"^begin [0-7]{3,4} ([^\r\n]{1,200})\r?$", re.MULTILINE)
_SIGNED: Final = re.compile(rb"multipart/signed", re.IGNORECASE)
_NAMES_TOLD: Final = 120  # characters of a name that an event carries


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be taken out, and in whose name. `packed`: kinds of it that were found within archives."""

    patterns: tuple[str, ...]
    packed: tuple[str, ...] = ()
    rule: str = ""
    language: str = "en"


@dataclasses.dataclass(frozen=True, slots=True)
class Stripped:
    """The message, the very same object where nothing was taken out, and the names of what was."""

    message: bytes | memoryview
    removed: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class _Taken:
    entity: Entity
    name: str
    note: str
    holds: bool = False  # other files may lie in it


def hits(patterns: Collection[str], kinds: Collection[str]) -> tuple[str, ...]:
    """Return which of the kinds (an ending with its dot, or a type by content) one of the patterns means."""
    return tuple(kind for kind in kinds if any(_means(pattern, kind) for pattern in patterns))


def strip(message: bytes | memoryview, wanted: Wanted) -> Stripped:
    """Return the message without the attachments that the patterns mean."""
    octets = bytes(message)
    root = read(octets, nested=True)
    taken = list(_taken(octets, root, wanted))
    if wanted.packed and not any(each.holds for each in taken):
        # A scanner has seen one where we see none: another reader may see it too.
        taken = [_unclear(root, wanted)]
    if not taken:
        return Stripped(message)
    gone = {id(each.entity) for each in taken}
    edits: list[Edit] = []
    unseen: list[str] = []  # notes that have no place of their own
    for each in taken:
        if _chosen(each.entity, gone):
            unseen.append(each.note)
        else:
            edits += _instead(octets, each.entity, each.note)
    for outer in _outer(taken):
        if outer.kind == "multipart/signed":
            edits += _unsigned(octets, outer, gone, wanted.language)
        elif outer.kind == "multipart/alternative":
            edits += _cut_out(outer, gone)
    changed: bytes | memoryview = edited(octets, edits)
    for note in unseen:
        changed = stamp(changed, Disclaimer(text=note))
    return Stripped(changed, tuple(printable(each.name, _NAMES_TOLD) for each in taken))


def _taken(message: bytes, root: Entity, wanted: Wanted) -> Iterator[_Taken]:
    """Yield what goes, from the outside to the inside and nothing that lies in another of them."""
    todo = [root]
    while todo:
        entity = todo.pop()
        why = _why(message, entity, wanted)
        if why is not None:
            yield why
        else:
            todo.extend(reversed(entity.inside))


def _why(message: bytes, entity: Entity, wanted: Wanted) -> _Taken | None:
    if entity.doubt or entity.kind == "message/partial":
        return _unclear(entity, wanted)
    if entity.kind in OPAQUE:
        return _told(entity, _name(entity), SEALED, wanted) if SEALED in wanted.patterns else None
    if entity.kind == NESTED:
        pattern = next((each for each in wanted.patterns if _means_message(each, entity)), None)
        return None if pattern is None else _told(entity, _name(entity), pattern, wanted, holds=True)
    if entity.kind.startswith("multipart/"):
        return None
    return _file(message, entity, wanted)


def _file(message: bytes, entity: Entity, wanted: Wanted) -> _Taken | None:
    """Return why a leaf goes; None where it stays."""
    names, kind, text = _look(message, entity)
    if text:
        return None
    kinds = {kind, *(f".{ending(name)}" for name in names if ending(name))}
    holds = kind in filetypes.HOLDERS
    name = next(iter(names), "")
    for pattern in wanted.patterns:
        if (
            (pattern == ALL and not _belongs(entity, kinds))
            or any(_means(pattern, each) for each in kinds)
            or any(_fits(pattern, each) for each in names)
        ):
            return _told(entity, name, pattern, wanted, holds=holds)
    if wanted.packed and holds:
        return _told(entity, name, wanted.packed[0], wanted, holds=True, packed=True)
    return None


def _unclear(entity: Entity, wanted: Wanted) -> _Taken:
    note = strip_words.unclear(wanted.rule, wanted.patterns[0], wanted.language)
    return _Taken(entity, _name(entity), note, holds=True)


def _told(
    entity: Entity, name: str, pattern: str, wanted: Wanted, *, holds: bool = False, packed: bool = False
) -> _Taken:
    octets = entity.end - entity.body
    if entity.encoding == "base64":
        octets = octets * 57 // 78  # of each line of 78, its end included
    note = strip_words.removed(name, octets, pattern, wanted.rule, wanted.language, packed=packed)
    return _Taken(entity, name, note, holds)


# --- what a part is


def _look(message: bytes, entity: Entity) -> tuple[tuple[str, ...], str, bool]:
    """Return its names, its type by content, and whether it is a text that the message consists of."""
    names = entity.names
    body = message[entity.body : entity.end]
    if entity.encoding in AS_IT_STANDS and b"begin " in body and uuencoded(body):
        inner = tuple(found.decode("utf-8", "replace") for found in _UU_NAME.findall(body))
        return (*inner, *names), filetypes.of(uuencoded(body)[: _HEAD + _TAIL]), False
    if "uu" in entity.encoding:
        names = (*names, *(found.decode("utf-8", "replace") for found in _UU_NAME.findall(body)))
    data = decode(body[:_HEAD], entity.encoding)
    if len(body) > _HEAD:
        data += decode(body[max(_HEAD, body.find(b"\n", len(body) - _TAIL) + 1) :], entity.encoding)
    kind = filetypes.of(data)
    nameless = not names or entity.top
    text = nameless and not entity.attached and entity.kind.startswith("text/")
    return names, kind, text and kind in filetypes.TEXTS | {"empty", "data"}


def _belongs(entity: Entity, kinds: Collection[str]) -> bool:
    """Return whether it is a picture of the text's, says how a delivery went, or signs what lies beside it."""
    parent = entity.parent
    if parent is None or any(map(dangerous, kinds)):
        return False
    match parent.kind:
        case "multipart/related":
            return not entity.attached and entity is not parent.inside[0] and not filetypes.IMAGES.isdisjoint(kinds)
        case "multipart/report":
            return entity.kind.startswith(("message/", "text/"))
        case "multipart/signed":
            return entity.kind in _SIGNATURES and entity is parent.inside[-1]
    return False


def _name(entity: Entity) -> str:
    return next(iter(entity.names), "")


def _means_message(pattern: str, entity: Entity) -> bool:
    """Return whether the pattern means a message that is attached as such."""
    if pattern == ALL:
        return entity.parent is None or entity.parent.kind != "multipart/report"
    if pattern in {".eml", "mail"}:
        return True
    return any(_fits(pattern, name) or _means(pattern, f".{ending(name)}") for name in entity.names)


def _means(pattern: str, kind: str) -> bool:
    return dangerous(kind) if pattern == DANGEROUS else pattern == kind


def _fits(pattern: str, name: str) -> bool:
    """Return whether it is a pattern of names that this one fits."""
    return ("*" in pattern or "?" in pattern) and fnmatch.fnmatchcase(name.casefold(), pattern.casefold())


# --- what stands there then


def _instead(message: bytes, entity: Entity, note: str) -> list[Edit]:
    """Return the edits that put the note where the entity was."""
    if not entity.top:
        return [(entity.start, entity.end, text_part(note))]
    gap = b"" if entity.body > entity.fields_end else b"\r\n"
    said = described(message, entity, "text/plain; charset=utf-8", "quoted-printable")
    return [*said, (entity.body, entity.end, gap + quoted(note) + b"\r\n")]


def _outer(taken: Collection[_Taken]) -> Iterator[Entity]:
    """Yield what has one of them inside, each once."""
    seen = set()
    for each in taken:
        parent = each.entity.parent
        while parent is not None and id(parent) not in seen:
            seen.add(id(parent))
            yield parent
            parent = parent.parent


def _chosen(entity: Entity, gone: Collection[int]) -> bool:
    """Return whether readers would show a note in its place instead of a text that stays."""
    parent = entity.parent
    return parent is not None and parent.kind == "multipart/alternative" and not _all_gone(parent, gone)


def _all_gone(entity: Entity, gone: Collection[int]) -> bool:
    return all(id(each) in gone for each in entity.inside)


def _cut_out(entity: Entity, gone: Collection[int]) -> list[Edit]:
    """Return the edits that take parts out with the lines that mark them, where another part stays."""
    parts = entity.inside
    first = next((number for number, each in enumerate(parts) if id(each) not in gone), None)
    if first is None:
        return []
    edits: list[Edit] = [(parts[0].start, parts[first].start, b"")] if first else []
    return edits + [
        (parts[number - 1].end, parts[number].end, b"")
        for number in range(first + 1, len(parts))
        if id(parts[number]) in gone
    ]


def _unsigned(message: bytes, entity: Entity, gone: Collection[int], language: str) -> list[Edit]:
    """Return the edits that make a signed entity one that isn't: its type, and a note where its signature was."""
    header = message[entity.start : entity.fields_end]
    edits: list[Edit] = []
    for field in fields(header):
        said = _SIGNED.search(header, field.value, field.end) if field.name == b"content-type" else None
        if said is not None:
            edits.append((entity.start + said.start(), entity.start + said.end(), b"multipart/mixed"))
    last = entity.inside[-1]
    if len(entity.inside) > 1 and not last.inside and id(last) not in gone:
        edits.append((last.start, last.end, text_part(strip_words.signed(language))))
    return edits
