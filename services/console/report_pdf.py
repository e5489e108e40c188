"""A report as PDF, by fpdf2. Importing this costs tens of megabytes: who makes no PDF doesn't."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fpdf import FPDF
from fpdf.fonts import FontFace, TTFFont

from services.console.letters import MARK, spelled
from services.console.report import sections, title_of, written
from services.console.texts import text
from services.console.traffic_models import Report

FONT: Final = "DejaVu"  # of fonts/: of it goes into a PDF what the PDF needs
FOLDER: Final = Path(__file__).parent / "fonts"
MARGIN: Final = 18.0  # mm
CELL_MOST: Final = 160  # characters


class _Pages(FPDF):
    """A4 with a number on each page, in letters of our own."""

    def __init__(self) -> None:
        super().__init__(format="A4")
        self.foreign = False  # something was written in other letters than its own
        for style, name in (("", "DejaVuSans.ttf"), ("B", "DejaVuSans-Bold.ttf")):
            self.add_font(FONT, style, FOLDER / name)
        font = self.fonts[FONT.lower()]
        assert isinstance(font, TTFFont)  # noqa: S101 - it was added above
        self._known = font.cmap

    def say(self, said: str) -> str:
        """Return the text in letters that the font has."""
        shown = spelled(said, self._known, CELL_MOST)
        self.foreign |= shown.endswith(MARK) and not said.endswith(MARK)
        return shown

    def footer(self) -> None:
        """Say which page it is; fpdf2 calls this at the end of each."""
        self.set_y(-12)
        self.set_font(FONT, size=8)
        self.cell(0, 6, f"Gatepost - {self.page_no()}", align="C")


def pdf(report: Report, language: str, now: float) -> bytes:
    """Return the report as a PDF. It takes some 100 ms of CPU: this is for a thread."""
    pages = _Pages()
    pages.set_margins(MARGIN, MARGIN)
    pages.set_auto_page_break(auto=True, margin=MARGIN)
    title = title_of(report, language)
    pages.set_title(title)
    pages.set_lang(language)
    pages.set_creator("Gatepost")
    pages.set_creation_date(datetime.fromtimestamp(now, UTC))
    pages.add_page()
    pages.set_font(FONT, "B", 15)
    pages.multi_cell(0, 8, pages.say(title), new_x="LMARGIN", new_y="NEXT")
    pages.set_font(FONT, size=9)
    pages.multi_cell(0, 5, pages.say(text("dashboard.counted", language)), new_x="LMARGIN", new_y="NEXT")
    for section in sections(report, language):
        pages.ln(5)
        pages.start_section(pages.say(section.title))
        pages.set_font(FONT, "B", 12)
        pages.multi_cell(0, 7, pages.say(section.title), new_x="LMARGIN", new_y="NEXT")
        pages.set_font(FONT, size=9)
        if not section.rows:
            pages.multi_cell(0, 5, pages.say(text("none", language)), new_x="LMARGIN", new_y="NEXT")
            continue
        columns = len(section.head)
        with pages.table(
            headings_style=FontFace(emphasis="BOLD", fill_color=(242, 245, 248)),
            borders_layout="HORIZONTAL_LINES",
            col_widths=(3, *[1] * (columns - 1)) if columns == 2 else (2, *[1] * (columns - 1)),  # noqa: PLR2004 - a name and its figure
            text_align=("LEFT", *["RIGHT"] * (columns - 1)),
            line_height=5,
        ) as table:
            for cells in (section.head, *section.rows):
                row = table.row()
                for cell in cells:
                    row.cell(pages.say(written(cell)))
    if pages.foreign:
        pages.ln(5)
        pages.set_font(FONT, size=8)
        pages.multi_cell(0, 4, text("report.spelled", language), new_x="LMARGIN", new_y="NEXT")
    return bytes(pages.output())
