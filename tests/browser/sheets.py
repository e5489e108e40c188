"""Every page on four sheets: python -m tests.browser.sheets SHOTS FOLDER

SHOTS is what GATEPOST_TEST_SHOTS named when the tests of this room ran: LANGUAGE-PAGE-WIDTH.png.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

COLUMNS = {"wide": 8, "narrow": 16}
WIDTH = {"wide": 360, "narrow": 180}  # of a page's picture
HEIGHT = 360
COLOURS = 32


def sheet(shots: list[Path], width: str) -> Image.Image:
    """Return the tops of the pages in rows, in the order of their names."""
    columns, wide = COLUMNS[width], WIDTH[width]
    rows = -(-len(shots) // columns)
    whole = Image.new("RGB", (columns * wide, rows * HEIGHT), "grey")
    for place, path in enumerate(shots):
        with Image.open(path) as picture:
            page = picture.convert("RGB")
        page = page.resize((wide - 8, max(1, page.height * (wide - 8) // page.width)))
        row, column = divmod(place, columns)
        whole.paste(page.crop((0, 0, page.width, min(page.height, HEIGHT - 8))), (column * wide, row * HEIGHT))
    return whole.quantize(COLOURS)


def main(shots: Path, folder: Path) -> None:
    """Write the sheets: both languages, wide and narrow."""
    folder.mkdir(parents=True, exist_ok=True)
    for language in ("en", "it"):
        for width in COLUMNS:
            found = sorted(shots.glob(f"{language}-*-{width}.png"))
            sheet(found, width).save(folder / f"console-{language}-{width}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
