"""A report is written in letters that its font has; what it lacks can still be read, and says that it was respelled."""

from __future__ import annotations

from pathlib import Path

import pytest
from fpdf import FPDF
from fpdf.fonts import TTFFont

from services.console import report_pdf
from services.console.letters import spelled
from services.console.panels import NARROW
from services.console.texts import LANGUAGES, keys, raw

FONTS = sorted(report_pdf.FOLDER.glob("*.ttf"))


def letters_of(path: Path) -> frozenset[int]:
    pages = FPDF()
    pages.add_font("one", "", path)
    font = pages.fonts["one"]
    assert isinstance(font, TTFFont)
    font.close()
    return frozenset(font.cmap)


KNOWN = letters_of(FONTS[0])


@pytest.mark.parametrize("font", FONTS, ids=lambda path: path.stem)
def test_each_font_has_every_letter_of_our_own_texts(font: Path) -> None:
    known = letters_of(font)
    own = {letter for key in keys() for language in LANGUAGES for letter in raw(key, language)} | {NARROW}
    assert {letter for letter in own if ord(letter) not in known} == set()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("ann@acme.test", "ann@acme.test"),
        ("Ελένη Παπαδοπούλου", "Ελένη Παπαδοπούλου"),
        ("иван@пример.рф", "иван@пример.рф"),
        ("Zoe\u0308 Łukasz", "Zoë Łukasz"),
        ("Ἀθῆναι Հայերեն ქართული", "Ἀθῆναι Հայերեն ქართული"),
        ("北京@例え.テスト", "bei jing@li e.tesuto*"),
        ("서울", "seo ul*"),
        ("\u202egnp.exe\x00\r\n\ufeff", "gnp.exe"),
        ("\U0001f600", "[U+1F600]*"),
        ("", ""),
    ],
)
def test_what_it_lacks_is_spelled_in_latin_letters(said: str, shown: str) -> None:
    assert spelled(said, KNOWN, 80) == shown


def test_what_is_too_long_is_cut_however_it_is_composed() -> None:
    assert spelled("x" * 81, KNOWN, 80) == "x" * 80 + "..."
    assert spelled("e\u0301" * 80, KNOWN, 80) == "é" * 80
    assert len(spelled("\u4e00" * 100_000, KNOWN, 80)) < 1_000
