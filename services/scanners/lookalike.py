"""Domains that pretend to be another: look-alike letters (UTS 39), slips of the pen, a name inside another's domain.

`Guarded` holds the names to guard, made once for a briefing; `compare` says what a host does to one of them.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from functools import lru_cache
from typing import Final

import disarm
from rapidfuzz.distance import OSA

from services.scanners.briefing import Briefing
from services.scanners.urls.known import BRANDS, COMMON_WORDS, FREE_HOSTING, LURES, NEUTRAL_TLDS
from services.scanners.urls.url import domain_of, to_unicode

_SHORT: Final = 5  # letters: a shorter name is one letter from many honest ones
_LONG: Final = 10  # letters from which two differ unseen
_SHORTEST: Final = 4  # letters below which only look-alike letters count
_DIGITS: Final = str.maketrans("013457", "oleast")
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_SPLIT: Final = re.compile(r"[^a-z0-9]+")
_COUNTRY: Final = re.compile(r"(?:(?:com?|net|org|gov|ac)\.)?[a-z]{2}")


class Kind(enum.Enum):
    """How a domain resembles another. The order is that of certainty."""

    LETTERS = "in letters that look like it"  # homographs: another script, digits for letters, rn for m
    INSIDE = "with its whole name in a stranger's domain"
    LURE = "with its name beside a word that lures"
    SLIP = "but for a letter or two"
    NAMED = "with its name in it"
    SUFFIX = "under another top-level domain"


@dataclasses.dataclass(frozen=True, slots=True)
class Resemblance:
    """What a host resembles: the guarded domain or brand, and how."""

    kind: Kind
    guarded: str
    brand: bool  # a well-known or configured brand's name, not one of the customer's or a partner's domains


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Guarded:
    """Names to guard by their label, the domains that may use them, and the domains that are in order whatever."""

    labels: dict[str, tuple[str, frozenset[str], bool]]  # label → what it stands for, its domains, brand
    fine: frozenset[str]
    allowed: frozenset[str]
    by_length: dict[int, tuple[str, ...]]

    def owned(self, host: str) -> bool:
        """Return whether the host lies at or below a domain that is guarded or allowed, and not where anybody may."""
        labels = host.split(".")
        names = {".".join(labels[start:]) for start in range(len(labels) - 1)}
        if host in FREE_HOSTING:
            return True
        return not names.isdisjoint(self.fine) and names.isdisjoint(FREE_HOSTING)


@lru_cache(maxsize=256)
def guarded(briefing: Briefing) -> Guarded:
    """Return the names to guard for a customer: well-known brands, its own, its domains and its partners'."""
    labels: dict[str, tuple[str, frozenset[str], bool]] = {}
    fine = set(briefing.allowed)
    for name, domains in BRANDS.items():
        labels[name] = (name, domains, True)
        fine |= domains
    for brand in briefing.brands:
        label = _SPLIT.sub("", skeleton(brand.name))
        if label:
            labels[label] = (brand.name, frozenset(brand.domains), True)
            fine |= set(brand.domains)
    for domain in (*briefing.partners, *briefing.domains):
        registered = domain_of(domain)
        label = to_unicode(registered).partition(".")[0]
        labels[label] = (registered, frozenset({registered, *labels.get(label, ("", frozenset(), False))[1]}), False)
        fine |= {registered, domain}
    by_length: dict[int, list[str]] = {}
    for label in labels:
        by_length.setdefault(len(label), []).append(label)
    return Guarded(
        labels, frozenset(fine), frozenset(briefing.allowed), {size: tuple(found) for size, found in by_length.items()}
    )


@lru_cache(maxsize=8_192)
def skeleton(text: str) -> str:
    """Return the text with look-alike letters made one (UTS 39 section 4), accents gone, in lower case."""
    if text.isascii():
        return text.lower()
    return disarm.strip_accents(disarm.skeleton_key(text)).lower()


def _folded(label: str) -> str:
    """Return the label as a hasty eye reads it."""
    seen = skeleton(label).translate(_DIGITS)
    for pair, one in _PAIRS:
        seen = seen.replace(pair, one)
    return seen


@lru_cache(maxsize=16_384)
def compare(host: str, names: Guarded) -> Resemblance | None:  # noqa: PLR0911  # one return a kind of resemblance
    """Return what the host (A-labels) pretends to be, None for nothing that is guarded."""
    domain = domain_of(host)
    if names.owned(host):
        return None
    label, _, suffix = domain.partition(".")
    own = to_unicode(label)
    if own in names.labels:
        return _same_label(own, suffix, names)
    if hit := _by_letters(own, names):
        return hit
    if hit := _inside(host, domain, names):
        return hit
    tokens = [token for token in _SPLIT.split(_skeleton_of(own)) if token]
    if hit := _beside_lure(tokens, names):
        return hit
    if hit := _slip(own, names):
        return hit
    below = host.removesuffix(domain).rstrip(".")
    return _named([*tokens, *_SPLIT.split(below)], names)


def _skeleton_of(label: str) -> str:
    return skeleton(label)


def _same_label(label: str, suffix: str, names: Guarded) -> Resemblance | None:
    known, _, brand = names.labels[label]
    if brand and (_COUNTRY.fullmatch(suffix) or suffix in NEUTRAL_TLDS or len(label) <= _SHORT):
        return None  # amazon.de: the brand's own, or somebody's honest name
    return Resemblance(Kind.SUFFIX, known, brand)


def _by_letters(label: str, names: Guarded) -> Resemblance | None:
    seen = skeleton(label)
    for form in (seen, _folded(label)):
        for candidate in (form, form.replace("-", "")):
            if candidate != label and candidate in names.labels:
                known, _, brand = names.labels[candidate]
                if candidate == label.replace("-", "") and len(candidate) <= _SHORT:
                    continue  # hyphens alone in a short name
                return Resemblance(Kind.LETTERS, known, brand)
    return None


def _inside(host: str, domain: str, names: Guarded) -> Resemblance | None:
    """Find `bank.example.` or `bank-example-` before or in the registered domain."""
    flat = "." + host.replace("-", ".") + "."
    for label, (known, domains, brand) in names.labels.items():
        if label not in flat:
            continue
        for full in domains:
            at = flat.find(f".{full.replace('-', '.')}.")
            if 0 <= at < len(flat) - len(full) - 2 and domain != full:  # not at the end: there it would be the owner
                return Resemblance(Kind.INSIDE, known, brand)
    return None


def _beside_lure(tokens: list[str], names: Guarded) -> Resemblance | None:
    """Find bank-login, loginbank, secure-bank: a guarded name with only luring words beside it."""
    for token in tokens:
        seen = token.translate(_DIGITS) if token not in names.labels else token
        if seen in names.labels and len(seen) >= _SHORTEST:
            known, _, brand = names.labels[seen]
            if any(other in LURES for other in tokens if other != token):
                kind = Kind.NAMED if seen in COMMON_WORDS else Kind.LURE
                return Resemblance(kind, known, brand)
    if len(tokens) == 1:
        (word,) = tokens
        for label, (known, _, brand) in names.labels.items():
            if len(label) >= _SHORT and label in word and word != label:
                rest = word.replace(label, " ", 1).split()
                if rest and label not in COMMON_WORDS and all(piece in LURES for piece in rest):
                    return Resemblance(Kind.LURE, known, brand)
    return None


def _slip(label: str, names: Guarded) -> Resemblance | None:
    size = len(label)
    if size < _SHORT:
        return None
    seen = skeleton(label)
    most = 2 if size >= _LONG else 1
    for length in range(size - most, size + most + 1):
        for candidate in names.by_length.get(length, ()):
            known, _, brand = names.labels[candidate]
            limit = 1 if brand or length < _LONG else most
            if length < (_SHORT + 1 if brand else _SHORT) or candidate[0] != seen[0]:
                continue  # whoever reads a name reads its first letter
            if 0 < OSA.distance(seen, candidate, score_cutoff=limit) <= limit:
                return Resemblance(Kind.SLIP, known, brand)
    return None


def _named(tokens: list[str], names: Guarded) -> Resemblance | None:
    for token in tokens:
        if len(token) >= _SHORT and token in names.labels and token not in COMMON_WORDS:
            known, _, brand = names.labels[token]
            return Resemblance(Kind.NAMED, known, brand)
    return None
