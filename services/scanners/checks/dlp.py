"""What a customer does not let out: numbers with a check digit, patterns, words, registered files. Outgoing mail only.

It says which rules are met, and nothing of what they found but the last four digits of a number. What follows is
policy's matter (`services/policy/data_loss.py`).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import Final

from schemas.events import Evidence, Status
from services.core.data_loss import code_of
from services.core.direction import outbound
from services.scanners.contract import Context, Cost, Finding, Spec
from services.scanners.dlp.numbers import TooMany
from services.scanners.dlp.reading import Unread, read
from services.scanners.dlp.search import Hits, Ready, ready
from services.scanners.mail import Mail
from services.scanners.text import clean

SPEC: Final = Spec(name="dlp", version="1", cost=Cost.CPU, timeout=45.0)

TEXT_MOST: Final = 33_554_432  # characters of one message that are searched
_BREATHE_AFTER: Final = 0.05  # seconds after which other scans of the worker have their turn
_UNREAD: Final = frozenset({"ARCHIVE_LIMIT", "ARCHIVE_ENCRYPTED", "ARCHIVE_UNREAD", "ARCHIVE_BROKEN", "ENCODED_LIMIT"})
_DIGITS = re.compile(r"\d(?=(?:[ ._-]?\d){4})")


async def scan(mail: Mail, ctx: Context) -> Finding:
    """Return a clean finding with a piece of evidence for each rule that is met."""
    rules = ctx.briefing.data_loss
    if not rules or not outbound(mail.received):
        return Finding(status=Status.CLEAN)
    known = ready(rules)
    hits = [Hits(rule) for rule in rules]
    search = _Search(known, hits)
    search.text(mail.header("subject"), "the subject")
    turn = ctx.clock.monotonic()
    for content in mail.contents:
        shown = "the text" if content.part is not None and not content.filename else clean(content.name, 80)
        if known.files:
            search.fingerprint(hashlib.sha256(content.data).hexdigest(), shown)
        if content.filename:
            search.text(content.filename, f"the name of {shown}")
        try:
            search.text(read(content), shown)
        except Unread as error:
            search.unread(f"{shown} {error}")
        if ctx.clock.monotonic() - turn > _BREATHE_AFTER:
            await asyncio.sleep(0)
            turn = ctx.clock.monotonic()
    for code, words in mail.contents.budget.met.items():
        if code in _UNREAD:
            search.unread(words)
    return Finding(status=Status.CLEAN, evidence=tuple(_said(each) for each in hits if each.met))


class _Search:
    """What was found so far, and how much text is left."""

    def __init__(self, known: Ready, hits: list[Hits]) -> None:
        self._known = known
        self._hits = hits
        self._left = TEXT_MOST

    def text(self, found: str, shown: str) -> None:
        """Look through a text."""
        if not found:
            return
        if len(found) > self._left:
            self.unread(f"{shown} is more text than is looked through")
        found = found[: self._left]
        self._left -= len(found)
        try:
            self._known.look(found, shown, self._hits)
        except TooMany:
            self.unread(f"{shown} holds more numbers than are checked")

    def fingerprint(self, digest: str, shown: str) -> None:
        """Look whether the file is a registered one."""
        if digest in self._known.files:
            for each in self._hits:
                if digest in each.rule.files:
                    each.add(f"file {digest}", f"{shown} is a registered file")

    def unread(self, words: str) -> None:
        """Note what can't be looked into."""
        for each in self._hits:
            if each.rule.unread:
                each.add(f"unread {words}", words)


def _said(hits: Hits) -> Evidence:
    count = len(hits.different)
    more = f", {count} in all" if count > 1 else ""
    return Evidence(code=code_of(hits.rule), text=masked(clean(f"{hits.first}{more}")))


def masked(text: str) -> str:
    """Return the text with no more than the last four digits of any number in it: file names may hold one too."""
    return _DIGITS.sub("•", text)
