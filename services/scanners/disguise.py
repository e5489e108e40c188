"""Letters that only look like those of a word: without width, of another alphabet, of another style."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_UNSEEN: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"
)
_DROP: Final = dict.fromkeys(map(ord, _UNSEEN))
_INSIDE = re.compile(rf"(?<=[A-Za-z])[{_UNSEEN}]+(?=[A-Za-z])")
_MIXED = re.compile(r"(?=[^\W\d_]*[a-zA-Z])(?=[^\W\d_]*[\u0370-\u03ff\u0400-\u04ff])[^\W\d_]{2,64}")
_STYLED = re.compile("[\U0001d400-\U0001d7ff\uff21-\uff5a]")
_TWINS: Final = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0406\u03b1\u03bf\u03c1\u03bd\u03b9\u03ba\u0391\u0392\u0395\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a7",
    "aeopcyxijshdABEKMHOPCTXIaopvikABEHIKMNOPTX",
)


def read(text: str) -> tuple[str, int, int]:
    """Return the text as it looks, how many unseen characters stand inside words, and how many words are mixed.

    Full-width and mathematical letters become plain ones (NFKC); a word of two alphabets becomes Latin.
    """
    if text.isascii():
        return text, 0, 0
    unseen = sum(len(run) for run in _INSIDE.findall(text))
    shown = text.translate(_DROP)
    mixed = 0
    if _STYLED.search(shown):
        plain = unicodedata.normalize("NFKC", shown)
        mixed += len(_STYLED.findall(shown)) // 4
        shown = plain
    found = len(_MIXED.findall(shown))
    if found:
        shown = _MIXED.sub(lambda word: word.group().translate(_TWINS), shown)
    return shown, unseen, mixed + found
