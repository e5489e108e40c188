"""All that a message holds: its parts decoded, what hides in them, and the members of archives, unpacked once.

The view is lazy and remembered: several scanners of one message walk it side by side, and each thing is unpacked once,
when the first of them comes to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from services.core import filetypes
from services.scanners.budget import MAX_DEPTH, Budget, LimitMet
from services.scanners.mime import Part
from services.scanners.text import clean
from services.scanners.unpack import Member, members


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """A file: a part, a member of an archive, or what was found encoded within another."""

    name: str  # for a person: a.zip/in.zip/a.com
    data: bytes  # decoded; empty when it is sealed
    type: str  # what it is by its octets: a word of `filetypes`
    filename: str = ""  # as the sender wrote it, without what is around; empty when it has none
    declared: str = ""  # the media type that the message declares, of a part
    depth: int = 0  # how many files it lies in
    within: str = ""  # the type of the file that it lies in; empty for a part
    sealed: bool = False  # encrypted, or packed in a way that can't be undone here: only its name is known
    hidden: bool = False  # a plain reader of mail or archives would not come upon it
    part: Part | None = None  # the part that it is


class Contents:
    """What a message holds, in order; each archive is followed by its members. `budget.met` grows while walking."""

    def __init__(self, parts: list[Part], rival: list[bytes], budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self._seen: list[Content] = []
        self._source: Iterator[Content] | None = _all(parts, rival, self.budget)

    def __iter__(self) -> Iterator[Content]:
        at = 0
        while at < len(self._seen) or self._pull():
            yield self._seen[at]
            at += 1

    @property
    def octets(self) -> int:
        """Return what of it is held beside the message itself."""
        return sum(len(item.data) for item in self._seen)

    def _pull(self) -> bool:
        if self._source is None:
            return False
        self.budget.start()
        try:
            self._seen.append(next(self._source))
        except (StopIteration, LimitMet):
            self._source = None
            return False
        finally:
            self.budget.pause()
        return True


def _all(parts: list[Part], rival: list[bytes], budget: Budget) -> Iterator[Content]:
    for part in parts:
        data = part.data
        whole = part.gap and part.content_type == "message/rfc822"  # its parts are among these
        kind = "message" if whole else filetypes.of(data)
        yield from _with_members(
            Content(_shown(part), data, kind, part.filename, part.content_type, hidden=part.gap, part=part), budget
        )
    for payload in rival:
        shown = "a part that readers disagree on"
        yield from _with_members(Content(shown, payload, filetypes.of(payload), hidden=True), budget)


def _with_members(outer: Content, budget: Budget) -> Iterator[Content]:
    yield outer
    if outer.sealed:
        return
    for member in members(outer.data, outer.type, outer.name, budget):
        if outer.depth >= MAX_DEPTH:
            budget.note("ARCHIVE_LIMIT", f"{outer.name}: nested more than {MAX_DEPTH} deep")
            return
        budget.member(outer.name)
        yield from _with_members(_inner(outer, member), budget)


def _inner(outer: Content, member: Member) -> Content:
    return Content(
        f"{outer.name}{member.joint}{clean(member.name, 80)}",
        member.data,
        member.type or filetypes.of(member.data),
        member.name[:1000],
        depth=outer.depth + 1,
        within=outer.type,
        sealed=member.sealed,
        hidden=member.hidden,
    )


def _shown(part: Part) -> str:
    return clean(part.filename, 80) if part.filename else f"part {part.path} {clean(part.content_type, 60)}"
