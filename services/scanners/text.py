"""Text from outside, made fit for an event: valid Unicode, printable, of bounded length."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

LIMIT: Final = 200  # characters of one piece of evidence
_WORD = re.compile(r"=\?([\w.:-]{1,40})(?:\*[\w-]*)?\?([bBqQ])\?([^?\s]{0,2000})\?=")
_BETWEEN = re.compile(r"(\?=)[ \t\r\n]+(?==\?)")
_TOKEN = re.compile(r"[A-Za-z0-9._=+/:\[\]@-]+")


def clean(text: str, limit: int = LIMIT) -> str:
    """Return the text without what can't be printed or encoded, cut at `limit` characters."""
    head = text[: limit + 1]
    if not head.isprintable():  # rarely
        head = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in head)
    return head if len(head) <= limit else head[: limit - 1] + "…"


def from_bytes(data: bytes, charset: str = "utf-8") -> str:
    """Return the octets as text without ever failing: the named charset, and latin-1 when it is unknown or wrong."""
    try:
        return data.decode(charset or "utf-8")
    except (UnicodeDecodeError, LookupError, ValueError):
        return data.decode("latin-1")


def header(value: bytes) -> str:
    """Return a header field's value unfolded, encoded words (RFC 2047) decoded; what can't be decoded stays."""
    text = from_bytes(value).replace("\r", "").replace("\n", "").strip()
    if "=?" not in text:
        return text
    return _WORD.sub(_encoded_word, _BETWEEN.sub(r"\1", text))


def unfolded(value: bytes) -> str:
    """Return a header field's value on one line, encoded words left as they are: what addresses are read from."""
    return from_bytes(value).replace("\r", "").replace("\n", "").strip()


def _encoded_word(found: re.Match[str]) -> str:
    charset, kind, payload = found.groups()
    try:
        if kind in "bB":
            data = base64.b64decode(payload + "=" * (-len(payload) % 4))
        else:
            data = binascii.a2b_qp(payload.encode("ascii"), header=True)
        return data.decode(charset)
    except (ValueError, LookupError):  # binascii.Error and the Unicode errors are ValueErrors
        return found.group()


def token(text: str, limit: int = 255) -> str:
    """Return the text as it may stand in an Authentication-Results property (RFC 8601 section 2.2), or `invalid`."""
    return text if len(text) <= limit and _TOKEN.fullmatch(text) else "invalid"
