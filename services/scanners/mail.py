"""The mail as scanners see it: parsed once, each view of it made when first asked for."""

from __future__ import annotations

import email.parser
import re
from functools import cached_property
from typing import Final

from schemas.events import Evidence, Received
from services.scanners import text
from services.scanners.contents import Contents
from services.scanners.markup import Page, read
from services.scanners.mime import Defect, Field, Part, Tree, walk

TEXT_LIMIT: Final = 262_144  # characters of text, and of HTML, that are looked at
RIVAL_LIMIT: Final = 8_388_608  # octets of a message that is read by a second parser too
_LINE_END = re.compile(rb"\r\n|\r|\n")


class Mail:
    """A message and its envelope. Nothing here raises, whatever the message is."""

    def __init__(self, received: Received, raw: bytes | memoryview) -> None:
        self.received = received
        self.raw = bytes(raw)

    @property
    def id(self) -> str:
        return self.received.id

    @property
    def weight(self) -> int:
        """Return the octets of memory that the mail may come to occupy, roughly, with what was unpacked so far."""
        unpacked = self.__dict__.get("contents")
        return 3 * len(self.raw) + 16_384 + (unpacked.octets if unpacked is not None else 0)

    @cached_property
    def tree(self) -> Tree:
        return walk(self.raw)

    @cached_property
    def contents(self) -> Contents:
        """Return all that the message holds: decoded parts, members of archives, and what hides in text.

        Walk it as often as needed: each thing is unpacked once. Between two steps of a walk others may have their turn.
        """
        return Contents(self.parts, self.rival)

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.tree.fields

    @property
    def parts(self) -> list[Part]:
        return self.tree.parts

    @property
    def defects(self) -> list[Defect]:
        return self.tree.defects

    def values(self, name: str) -> list[bytes]:
        """Return the values of all header fields of that lower-case name, as they came."""
        return [field.value for field in self.fields if field.name == name]

    def header(self, name: str) -> str:
        """Return the decoded value of the first header field of that name, empty when there is none."""
        return text.header(next(iter(self.values(name)), b""))

    @cached_property
    def text(self) -> str:
        """Return the text/plain parts, decoded and joined, up to TEXT_LIMIT characters."""
        return self._joined("text/plain")

    @cached_property
    def html(self) -> str:
        """Return the text/html parts, decoded and joined, up to TEXT_LIMIT characters."""
        return self._joined("text/html")

    @cached_property
    def page(self) -> Page:
        """Return what the HTML shows and holds."""
        return read(self.html)

    def _joined(self, kind: str) -> str:
        found: list[str] = []
        room = TEXT_LIMIT
        for part in self.parts:
            if part.content_type == kind and not part.gap and room > 0:
                piece = text.from_bytes(part.data[: room * 4], part.charset)[:room]
                found.append(piece)
                room -= len(piece)
        return "\n".join(found)

    @cached_property
    def rival(self) -> list[bytes]:
        """Return the octets of parts that the standard library's parser sees and ours does not.

        Two readers that disagree are a hole: what one of them shows to a person must have been scanned.
        """
        odd = self.tree.multipart or self.defects or len(self.parts) > 1
        if not odd or any(defect.limit for defect in self.defects):
            return []
        if len(self.raw) > RIVAL_LIMIT:
            self.defects.append(Defect("READ_ONCE", f"more than {RIVAL_LIMIT} octets: only one parser read it"))
            return []
        try:
            message = email.parser.BytesParser().parsebytes(self.raw)
        except RecursionError:
            self.defects.append(Defect("TOO_DEEP", "parts nested too deep for a second reading", limit=True))
            return []
        ours = {_plain(part.data) for part in self.parts}
        theirs = []
        for leaf in message.walk():
            payload = None if leaf.is_multipart() else leaf.get_payload(decode=True)
            if isinstance(payload, bytes) and _plain(payload) not in ours:
                theirs.append(payload)
        if theirs:
            self.defects.append(Defect("READERS_DISAGREE", "two parsers of MIME see different parts"))
        return theirs

    def defect_evidence(self) -> tuple[Evidence, ...]:
        """Return one piece of evidence for each kind of defect."""
        kinds = {defect.code: defect.text for defect in self.defects}
        return tuple(Evidence(code=code, text=text.clean(words)) for code, words in kinds.items())


def _plain(data: bytes) -> bytes:
    """Return the octets with one kind of line end and none at the end: there two parsers may well differ."""
    return _LINE_END.sub(b"\n", data).strip()
