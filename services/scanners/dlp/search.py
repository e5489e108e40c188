"""Data-loss rules made ready, and what they find in a message. What is found is counted and never shown."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from schemas.events import DataRule
from services.core.data_loss import compiled
from services.scanners.dlp import numbers
from services.scanners.dlp.reading import plain

HITS_MOST: Final = 1_000  # different ones of one rule that are counted
_RULES_KEPT: Final = 64  # customers' rules that stay ready
_WORD = re.compile(r"\w+")

Phrase = tuple[str, ...]


@dataclasses.dataclass(slots=True)
class Hits:
    """What one rule found in a message so far."""

    rule: DataRule
    different: set[bytes] = dataclasses.field(default_factory=set)  # digests: what was found is held by nobody
    first: str = ""  # in words, masked

    @property
    def met(self) -> bool:
        """Whether the rule applies."""
        return len(self.different) >= self.rule.at_least

    def add(self, what: str, words: str) -> None:
        """Count something; the same counts once."""
        if len(self.different) < HITS_MOST:
            self.different.add(hashlib.sha256(what.encode("utf-8", "replace")).digest())
            self.first = self.first or words


class Ready:
    """All rules of one customer."""

    def __init__(self, rules: tuple[DataRule, ...]) -> None:
        self.rules = rules
        self._patterns = [[compiled(text) for text in rule.patterns] for rule in rules]
        self._phrases = [_by_first(rule.words) for rule in rules]
        self.kinds = frozenset(kind for rule in rules for kind in rule.numbers)
        self.files = frozenset(digest for rule in rules for digest in rule.files)
        self._words = frozenset(first for phrases in self._phrases for first in phrases)

    def look(self, text: str, shown: str, hits: list[Hits]) -> None:
        """Count what the text holds. Raises numbers.TooMany once everything else was looked for."""
        text = plain(text)
        capitals = text.upper() if self.kinds else ""
        too_many: numbers.TooMany | None = None
        for kind in sorted(self.kinds):
            wanting = [each for each in hits if kind in each.rule.numbers]
            try:
                for number in numbers.find(kind, capitals):
                    for each in wanting:
                        each.add(f"{kind} {number}", f"{numbers.called(kind)} ending in {number[-4:]} in {shown}")
            except numbers.TooMany as error:
                too_many = error
        for each, patterns in zip(hits, self._patterns, strict=True):
            for index, pattern in enumerate(patterns, 1):
                for found in _some(pattern.finditer(text)):
                    each.add(f"pattern {found}", f"what pattern {index} describes in {shown}")
        if self._words:
            self._look_for_words(text, shown, hits)
        if too_many is not None:
            raise too_many

    def _look_for_words(self, text: str, shown: str, hits: list[Hits]) -> None:
        spoken = _WORD.findall(text.casefold())
        for at, word in enumerate(spoken):
            if word not in self._words:
                continue
            for each, phrases in zip(hits, self._phrases, strict=True):
                for phrase in phrases.get(word, ()):
                    if tuple(spoken[at : at + len(phrase)]) == phrase:
                        each.add(f"words {phrase}", f"words of the rule's list in {shown}")


def ready(rules: tuple[DataRule, ...]) -> Ready:
    """Return the rules ready to use, the same object for the same rules."""
    return _ready(rules)


@lru_cache(maxsize=_RULES_KEPT)
def _ready(rules: tuple[DataRule, ...]) -> Ready:
    return Ready(rules)


def _some(found: Iterator[re.Match[str]]) -> Iterator[str]:
    for count, each in enumerate(found):
        if count >= HITS_MOST:
            return
        if each.group():
            yield each.group()


def _by_first(words: tuple[str, ...]) -> dict[str, list[Phrase]]:
    found: dict[str, list[Phrase]] = {}
    for each in words:
        phrase = tuple(_WORD.findall(unicodedata.normalize("NFKC", each).casefold()))
        if phrase:
            found.setdefault(phrase[0], []).append(phrase)
    return found
