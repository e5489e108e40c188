"""Names of people as others write them: order, case, accents, titles and look-alike letters don't matter."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from rapidfuzz.distance import OSA

from schemas.events import Person
from services.scanners.briefing import Briefing
from services.scanners.lookalike import skeleton
from services.scanners.urls.known import TITLES

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*", re.UNICODE)
_ASIDE: Final = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|<[^<>]*>|\bvia\b.*\Z|\bon behalf of\b.*\Z")
_NAME_LIMIT: Final = 200  # characters of a display name that are looked at
_FUZZY_FROM: Final = 10  # letters from which one that is wrong still names the same person
_DIGITS: Final = str.maketrans("0135", "oles")


class Match(NamedTuple):
    """Whose name a display name is. `exact`: in full; otherwise by initials or but for a letter."""

    person: Person
    exact: bool


class Names:
    """The protected persons of a customer, made once for a briefing."""

    def __init__(self, persons: tuple[Person, ...]) -> None:
        self._exact: dict[frozenset[str], Person] = {}
        self._initials: dict[frozenset[str], Person] = {}
        self._letters: dict[str, Person] = {}
        for person in persons:
            words = tokens(person.name)
            if not words:
                continue
            self._exact.setdefault(frozenset(words), person)
            self._letters.setdefault(_letters(words), person)
            if len(words) == 1:
                continue  # one word has no initials that say anything
            first, *_, last = words
            self._initials.setdefault(frozenset((first[0], last)), person)
            self._initials.setdefault(frozenset((first, last[0])), person)

    def match(self, display: str) -> Match | None:
        """Return whose name the display name is, None when it is nobody's."""
        if not self._exact:
            return None
        words = tokens(display)
        found = self._exact.get(frozenset(words)) or self._within(words)
        if found is not None:
            return Match(found, exact=True)
        letters = _letters(words)
        if len(letters) >= _FUZZY_FROM:
            for known, person in self._letters.items():
                if abs(len(known) - len(letters)) <= 1 and OSA.distance(known, letters, score_cutoff=1) <= 1:
                    return Match(person, exact=False)
        initials = self._initials.get(frozenset(words))
        return Match(initials, exact=False) if initials is not None else None

    def _within(self, words: list[str]) -> Person | None:
        """Find the name among other words: `Erika Mustermann, managing director`."""
        have = frozenset(words)
        if len(have) > len(words) or len(words) > 12:  # noqa: PLR2004  # a sentence, not a name
            return None
        return next((person for known, person in self._exact.items() if len(known) > 1 and known < have), None)


def _letters(words: list[str]) -> str:
    """Return the words in one order and as a hasty eye reads them: i and l alike, rn as m."""
    return "".join(sorted(words)).replace("rn", "m").replace("i", "l")


@lru_cache(maxsize=256)
def names(briefing: Briefing) -> Names:
    """Return the customer's protected persons."""
    return Names(briefing.persons)


def tokens(name: str) -> list[str]:
    """Return the words of a name in their order: without titles, asides, accents and look-alike letters."""
    plain = _ASIDE.sub(" ", skeleton(name[:_NAME_LIMIT]))
    words = [_WORD_MARKS.sub("", word).translate(_DIGITS) for word in _WORD.findall(plain)]
    return [word for word in words if word and word not in TITLES]


_WORD_MARKS: Final = re.compile(r"['\u2019]")
