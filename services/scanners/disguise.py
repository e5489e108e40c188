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
_STYLED = re.compile("[\U0001d400-\U0001d7ff\uff21-\uff5a]")
# Letters by the Latin one that they are taken for: Cyrillic, Greek, Armenian, Cherokee, Roman numerals, phonetic ones.
_LOOKS_LIKE: Final = {
    "a": "\u0430\u03b1\u0251",
    "c": "\u0441\u03f2\u217d",
    "d": "\u0501\u217e\uab70",
    "e": "\u0435",
    "g": "\u0581\u0261",
    "h": "\u04bb\u0570",
    "i": "\u0456\u03b9\u2170",
    "j": "\u0458\u0575",
    "k": "\u03ba",
    "l": "\u217c\u04cf",
    "m": "\u217f",
    "n": "\u0578",
    "o": "\u043e\u03bf\u0585",
    "p": "\u0440\u03c1",
    "q": "\u051b",
    "s": "\u0455\uab9a",
    "u": "\u057d\u03c5",
    "v": "\u03bd\u2174",
    "w": "\u051d\u0461",
    "x": "\u0445\u2179",
    "y": "\u0443\u028f",
    "A": "\u0410\u0391\u13aa",
    "B": "\u0412\u0392\u13f4",
    "C": "\u0421\u03f9\u13df\u216d",
    "D": "\u13a0\u216e",
    "E": "\u0415\u0395\u13ac",
    "H": "\u041d\u0397\u13bb",
    "I": "\u0406\u0399",
    "J": "\u0408\u13ab",
    "K": "\u041a\u039a\u13e6",
    "L": "\u13de\u216c",
    "M": "\u041c\u039c\u13b7\u216f",
    "N": "\u039d",
    "O": "\u041e\u039f\u0555",
    "P": "\u0420\u03a1\u13e2",
    "S": "\u0405\u13da",
    "T": "\u0422\u03a4\u13a2",
    "W": "\u051c\u13b3",
    "X": "\u0425\u03a7",
    "Y": "\u0423\u03a5",
}
_TWINS: Final = str.maketrans({twin: letter for letter, twins in _LOOKS_LIKE.items() for twin in twins})
# Of the Roman numerals those that nobody numbers a chapter with.
_BORROWED: Final = "".join(twin for twins in _LOOKS_LIKE.values() for twin in twins if twin not in "\u2170\u2174\u2179")
_MIXED = re.compile(rf"(?=[^\W\d_]*[a-zA-Z])(?=[^\W\d_]*[{_BORROWED}])[^\W\d_]{{2,64}}")


def read(text: str) -> tuple[str, int, int]:
    """Return the text as it looks, how many unseen characters stand inside words, how many different words are mixed.

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
    found = len(set(_MIXED.findall(shown)))
    if found:
        shown = _MIXED.sub(lambda word: word.group().translate(_TWINS), shown)
    return shown, unseen, mixed + found
