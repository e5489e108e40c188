"""QR codes in pictures: what a phone's camera would read, within limits of octets, pixels and number."""

from __future__ import annotations

import io
import warnings
from typing import Final

import zxingcpp
from PIL import Image

PICTURES: Final = 12  # of one message that are looked at
LEAST_OCTETS: Final = 150  # of a file: smaller ones are spacers
MOST_OCTETS: Final = 8_388_608
LEAST_SIDE: Final = 42  # pixels: the smallest code has 21 modules, and a camera needs two of each
MOST_PIXELS: Final = 16_000_000  # before anything is decoded: the sum over a message's pictures is bounded by PICTURES
_SIDE: Final = 1_600  # pixels; larger pictures are made smaller
_SLIM: Final = 8  # times as long as wide: a rule or a banner
_FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
_CODES: Final = zxingcpp.barcode_formats_from_str("QRCode,Aztec,DataMatrix")
_UNREADABLE: Final = (
    OSError,
    ValueError,
    SyntaxError,  # Pillow's word for a broken PNG
    EOFError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
_MOST_CODES: Final = 10


def read(data: bytes) -> list[str]:
    """Return the texts of the codes in a picture; none for what is no picture, too small, too large or broken."""
    if not LEAST_OCTETS <= len(data) <= MOST_OCTETS:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
                if not _plausible(*picture.size):
                    return []
                picture.draft("L", (_SIDE, _SIDE))
                flat = _flattened(picture)
        codes = zxingcpp.read_barcodes(flat, formats=_CODES, try_rotate=False)
    except _UNREADABLE:
        return []
    return [code.text for code in codes[:_MOST_CODES]]


def _plausible(width: int, height: int) -> bool:
    least, most = min(width, height), max(width, height)
    return least >= LEAST_SIDE and width * height <= MOST_PIXELS and most <= least * _SLIM


def _flattened(picture: Image.Image) -> Image.Image:
    """Return the picture in grey on white, its first frame, no larger than is read well."""
    if picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info:
        coloured = picture.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        flat = Image.alpha_composite(white, coloured).convert("L")
    else:
        flat = picture.convert("L")
    flat.thumbnail((_SIDE, _SIDE))
    return flat
