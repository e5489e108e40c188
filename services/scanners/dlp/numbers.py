"""Numbers with a check digit, as people write them. python-stdnum says which of them are real. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, NamedTuple

from stdnum import iban, luhn, numdb
from stdnum.ch import ssn as ahv
from stdnum.de import idnr
from stdnum.es import nif
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.pl import pesel

CANDIDATES_MOST: Final = 100_000  # of one kind in one text that are checked


class Kind(NamedTuple):
    """How a kind of number looks, and whether one is real; `valid` gets it without what stands between."""

    called: str
    look: re.Pattern[str]
    valid: Callable[[str], bool]


_BETWEEN = re.compile(r"[ .\-\n\t]")
_NOT_BEFORE, _NOT_AFTER = r"(?<![0-9A-Z])", r"(?![0-9A-Z])"
# What issuers begin with, and how long theirs are (ISO/IEC 7812). Maestro's 50 and 56 to 69 would let in any number.
_ISSUERS: Final = (
    (re.compile(r"4"), {13, 16, 19}),  # Visa
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), {16}),  # Mastercard
    (re.compile(r"3[47]"), {15}),  # American Express
    (re.compile(r"6011|64[4-9]|65"), {16, 19}),  # Discover
    (re.compile(r"30[0-5]|3095|36|3[89]"), {14, 16}),  # Diners Club
    (re.compile(r"35(?:2[89]|[3-8])"), {16}),  # JCB
    (re.compile(r"62|81"), {16, 17, 18, 19}),  # UnionPay
    (re.compile(r"220[0-4]"), {16}),  # Mir
)
_SINGLE: Final = range(13, 20)  # digits that stand together
_GROUPS: Final = frozenset(
    {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 1), (4, 4, 4, 4, 3), (6, 13), (4, 4, 4, 4, 1)}
)


def _card(digits: str) -> bool:
    if len(set(digits)) == 1 or not any(len(digits) in sizes and start.match(digits) for start, sizes in _ISSUERS):
        return False  # 0000… passes Luhn
    return bool(luhn.is_valid(digits))


def _look(body: str) -> re.Pattern[str]:
    return re.compile(_NOT_BEFORE + body + _NOT_AFTER)


_FISCAL: Final = r"[A-Z]{3}[ ]?[A-Z]{3}[ ]?[0-9L-NP-V]{2}[ABCDEHLMPRST][0-9L-NP-V]{2}[ ]?[A-Z][0-9L-NP-V]{3}[ ]?[A-Z]"
_NIR: Final = r"[1-8][ ]?\d{2}[ ]?\d{2}[ ]?(?:\d{2}|2[AB])[ ]?\d{3}[ ]?\d{3}[ ]?\d{2}"
KINDS: Final = {  # text is in capitals
    "it-codice-fiscale": Kind("codice fiscale", _look(_FISCAL), codicefiscale.is_valid),
    "de-steuer-id": Kind("Steuer-ID", _look(r"\d{2}[ ]?\d{3}[ ]?\d{3}[ ]?\d{3}"), idnr.is_valid),
    "fr-nir": Kind("NIR", _look(_NIR), nir.is_valid),
    "es-nif": Kind("NIF", _look(r"(?:\d|[XYZ])\d{7}[ \-]?[A-Z]"), nif.is_valid),
    "nl-bsn": Kind("BSN", _look(r"\d{4}[. ]?\d{2}[. ]?\d{3}"), bsn.is_valid),
    "pl-pesel": Kind("PESEL", _look(r"\d{11}"), pesel.is_valid),
    "gb-nhs": Kind("NHS number", _look(r"\d{3}[ \-]?\d{3}[ \-]?\d{4}"), nhs.is_valid),
    "ch-ahv": Kind("AHV number", _look(r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}"), ahv.is_valid),
}
CARD, IBAN = "card", "iban"
_CALLED: Final = {CARD: "payment card number", IBAN: "IBAN"}
_RUN = re.compile(r"(?<![0-9A-Z.,])\d++(?:[ \-]\d++)*+")
_LONGEST: Final = 5  # groups of a card's number
_IBAN_START = re.compile(r"(?<![0-9A-Z])[A-Z]{2}\d{2}(?=[ \-]?[0-9A-Z])")
_IBAN_LONGEST: Final = 34
_SIZE = re.compile(r"(\d+)!")


class TooMany(Exception):  # noqa: N818  # no error: the text asks for more than it may have
    """Not all that looks like a number was checked."""


def called(kind: str) -> str:
    """Return what people call the kind."""
    return _CALLED.get(kind) or KINDS[kind].called


def find(kind: str, capitals: str) -> Iterator[str]:
    """Yield the numbers of the kind, without what stands between; `capitals` is the text in upper case.

    Raises TooMany when more than CANDIDATES_MOST look like one.
    """
    if kind in _CALLED:
        yield from _ibans(capitals) if kind == IBAN else _cards(capitals)
        return
    known = KINDS[kind]
    for count, found in enumerate(known.look.finditer(capitals)):
        if count >= CANDIDATES_MOST:
            raise TooMany
        number = _BETWEEN.sub("", found.group())
        if known.valid(number):
            yield number


def _cards(text: str) -> Iterator[str]:
    """Yield the cards' numbers, also those that stand beside other numbers in one line."""
    count = 0
    for run in _RUN.finditer(text):
        groups = _BETWEEN.split(run.group())
        if "A" <= text[run.end() : run.end() + 1] <= "Z":  # of a word: not in the pattern, which would begin anew in it
            groups.pop()
        sizes = [len(group) for group in groups]
        for at in range(len(groups)):
            for end in range(at + 1, min(at + _LONGEST, len(groups)) + 1):
                if not (tuple(sizes[at:end]) in _GROUPS or (end == at + 1 and sizes[at] in _SINGLE)):
                    continue
                count += 1
                if count > CANDIDATES_MOST:
                    raise TooMany
                number = "".join(groups[at:end])
                if _card(number):
                    yield number


def _ibans(capitals: str) -> Iterator[str]:
    for count, found in enumerate(_IBAN_START.finditer(capitals)):
        if count >= CANDIDATES_MOST:
            raise TooMany
        size = _iban_size(found.group()[:2])
        number = _take(capitals, found.start(), size) if size else ""
        if number and iban.is_valid(number):
            yield number


def _take(text: str, at: int, size: int) -> str:
    """Return so many letters and digits from there on, with at most one space or hyphen between two; else nothing."""
    taken: list[str] = []
    for char in text[at : at + 2 * size]:
        if char in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            taken.append(char)
            if len(taken) == size:
                break
        elif char not in " -" or text[at] in " -":
            return ""
    return "".join(taken) if len(taken) == size else ""


@cache
def _iban_size(country: str) -> int:
    """Return how long an IBAN of the country is, 0 for a country without (ISO 13616)."""
    known = numdb.get("iban").info(country)[0][1].get("bban", "")
    size = sum(map(int, _SIZE.findall(known)))
    return 4 + size if 0 < size <= _IBAN_LONGEST - 4 else 0
