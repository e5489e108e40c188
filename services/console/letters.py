"""Texts in the letters that a font has: what it lacks is written in Latin letters, not as a question mark. Pure."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Container
from typing import Final

import disarm

MARK: Final = "*"  # stands behind what was written otherwise


def spelled(said: str, known: Container[int], most: int) -> str:
    """Return the text, at most so many characters of it, in characters whose code points are known.

    Other letters and signs are written in Latin ones, and then MARK stands at the end. What would not be seen, or would
    turn the direction of what follows, is left out.
    """
    normal = unicodedata.normalize("NFC", said[: 4 * most])
    composed = [each for each in normal if unicodedata.category(each) not in _UNSEEN]
    runs = [
        (own, "".join(letters)) for own, letters in itertools.groupby(composed[:most], lambda each: ord(each) in known)
    ]
    shown = "".join(letters if own else _latin(letters) for own, letters in runs)
    more = "..." if len(composed) > most or len(said) > 4 * most else ""
    return f"{shown}{more}{'' if all(own for own, _ in runs) else MARK}"


def _latin(letters: str) -> str:
    return disarm.transliterate(letters, errors="replace", replace_with="") or "".join(
        f"[U+{ord(each):04X}]" for each in letters
    )


_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
