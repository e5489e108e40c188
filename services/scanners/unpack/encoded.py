"""Files in text that no MIME header announces: base64, uuencode, yEnc, data: URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from services.core.transfer import base64_lenient, uuencoded
from services.scanners.budget import Budget
from services.scanners.unpack.member import Member

_BLOCK = re.compile(  # possessive, and begun only where a run begins: linear, whatever the text
    rb"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40,}+(?:[ \t]*+\r?\n[A-Za-z0-9+/]{1,100}+)*+={0,2}"
)
_URL = re.compile(rb"https?://[^\s\"'<>()]++", re.IGNORECASE)
_DATA_URL = re.compile(
    rb"data:[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}(?:;[a-z0-9=.-]{1,60})*,([^\s\"'<>()]{8,}+)", re.IGNORECASE
)
_BLOCKS: Final = 200  # base64 blocks of one text that are decoded
_LOOKED_AT: Final = 16_777_216  # octets of one text
_YENC = re.compile(rb"^=ybegin [^\r\n]{1,400}\r?\n(?:=ypart [^\r\n]{1,200}\r?\n)?", re.MULTILINE)
_FROM_YENC: Final = bytes((octet - 42) % 256 for octet in range(256))


def members(data: bytes, shown: str, budget: Budget) -> Iterator[Member]:
    """Yield what is decoded. Addresses of pages are left out: nobody's reader decodes what stands in them."""
    if len(data) > _LOOKED_AT:
        budget.note("ARCHIVE_LIMIT", f"{shown}: more than {_LOOKED_AT} octets of text")
        data = data[:_LOOKED_AT]
    for octets in _found(data, shown, budget):
        yield Member("encoded text", budget.take(octets, shown), hidden=True, joint=": ")


def _found(data: bytes, shown: str, budget: Budget) -> Iterator[bytes]:
    if b"=ybegin " in data:
        yield from yencoded(data)
    if b"begin " in data and (decoded := uuencoded(data)):
        yield decoded
    if b"data:" in data:
        for url in _DATA_URL.finditer(data):
            if b"%" in url.group(1):
                yield unquote_to_bytes(url.group(1))
    text = _URL.sub(b" ", data) if b"://" in data else data
    for number, block in enumerate(_BLOCK.finditer(text)):
        if number >= _BLOCKS:
            budget.note("ENCODED_LIMIT", f"{shown}: more than {_BLOCKS} encoded blocks in one text")
            return
        yield base64_lenient(block.group())


def yencoded(data: bytes) -> Iterator[bytes]:
    """Yield the octets of each yEnc block (yEnc 1.3); a block ends at =yend or where the text does."""
    for found in _YENC.finditer(data):
        end = data.find(b"\n=yend", found.end())
        body = data[found.end() : end if end >= 0 else len(data)].replace(b"\r", b"").replace(b"\n", b"")
        pieces = body.split(b"=")
        escaped = (bytes(((piece[0] - 106) % 256,)) + piece[1:].translate(_FROM_YENC) for piece in pieces[1:] if piece)
        yield pieces[0].translate(_FROM_YENC) + b"".join(escaped)
