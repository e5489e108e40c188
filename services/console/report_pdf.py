"""A report as PDF, by fpdf2. Importing this costs tens of megabytes: who makes no PDF doesn't."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from fpdf import FPDF
from fpdf.fonts import FontFace

from services.console.panels import NARROW
from services.console.report import sections, title_of, written
from services.console.texts import text
from services.console.traffic_models import Report

FONT: Final = "Helvetica"  # every reader has it; letters outside of Latin-1 are question marks
MARGIN: Final = 18.0  # mm
CELL_MOST: Final = 80  # characters


class _Pages(FPDF):
    """A4 with a number on each page."""

    def footer(self) -> None:
        """Say which page it is; fpdf2 calls this at the end of each."""
        self.set_y(-12)
        self.set_font(FONT, size=8)
        self.cell(0, 6, f"Gatepost - {self.page_no()}", align="C")


def pdf(report: Report, language: str, now: float) -> bytes:
    """Return the report as a PDF. It takes some 100 ms of CPU: this is for a thread."""
    pages = _Pages(format="A4")
    pages.set_margins(MARGIN, MARGIN)
    pages.set_auto_page_break(auto=True, margin=MARGIN)
    title = title_of(report, language)
    pages.set_title(title)
    pages.set_lang(language)
    pages.set_creator("Gatepost")
    pages.set_creation_date(datetime.fromtimestamp(now, UTC))
    pages.add_page()
    pages.set_font(FONT, "B", 15)
    pages.multi_cell(0, 8, _latin(title), new_x="LMARGIN", new_y="NEXT")
    pages.set_font(FONT, size=9)
    pages.multi_cell(0, 5, _latin(text("dashboard.counted", language)), new_x="LMARGIN", new_y="NEXT")
    for section in sections(report, language):
        pages.ln(5)
        pages.start_section(_latin(section.title))
        pages.set_font(FONT, "B", 12)
        pages.multi_cell(0, 7, _latin(section.title), new_x="LMARGIN", new_y="NEXT")
        pages.set_font(FONT, size=9)
        if not section.rows:
            pages.multi_cell(0, 5, _latin(text("none", language)), new_x="LMARGIN", new_y="NEXT")
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
                    row.cell(_latin(written(cell)))
    return bytes(pages.output())


def _latin(said: str) -> str:
    shown = said if len(said) <= CELL_MOST * 2 else said[: CELL_MOST * 2] + "..."
    return shown.replace(NARROW, "\N{NO-BREAK SPACE}").encode("latin-1", "replace").decode("latin-1")
