"""What a trace shows of a message's header section: its subject and its Message-ID, as text that is fit to be shown."""

from __future__ import annotations

import binascii
import re
from email.errors import HeaderParseError
from email.header import decode_header
from typing import Final, NamedTuple

from schemas.events import SUBJECT_LIMIT
from services.core.headers import fields, header_end, unfolded

HEAD_MOST: Final = 65_536  # octets of a message that are searched
RAW_MOST: Final = 2_000  # octets of a field that are decoded
MESSAGE_ID_LIMIT: Final = 250  # characters of a Message-ID that an event may carry

_BLANKS: Final = re.compile(r"\s+")


class Heading(NamedTuple):
    """Both are one printable line, bounded, and empty when the message has no such field."""

    subject: str = ""
    message_id: str = ""  # RFC 5322 section 3.6.4, without its angle brackets


def heading_of(message: bytes | memoryview) -> Heading:
    """Return what the first Subject and the first Message-ID say."""
    head = memoryview(message)[:HEAD_MOST]
    header = bytes(head[: header_end(head)])
    subject = message_id = None
    for field in fields(header):
        if subject is None and field.name == b"subject":
            subject = printable(_decoded(unfolded(header[field.value : field.end])[:RAW_MOST]), SUBJECT_LIMIT)
        elif message_id is None and field.name == b"message-id":
            message_id = bare_id(_text(unfolded(header[field.value : field.end])[:RAW_MOST], "utf-8"))
        if subject is not None and message_id is not None:
            break
    return Heading(subject or "", message_id or "")


def subject_of(message: bytes | memoryview) -> str:
    """Return the first Subject as one printable line of at most SUBJECT_LIMIT characters; empty when there is none."""
    return heading_of(message).subject


def text_of(message: bytes | memoryview, name: bytes) -> str:
    """Return the first field of this name (lower case) as one printable line; empty when there is none."""
    head = memoryview(message)[:HEAD_MOST]
    header = bytes(head[: header_end(head)])
    for field in fields(header):
        if field.name == name:
            return printable(_decoded(unfolded(header[field.value : field.end])[:RAW_MOST]), SUBJECT_LIMIT)
    return ""


def bare_id(text: str) -> str:
    """Return a Message-ID as events carry it, from what a field or a person says: without brackets and blanks."""
    return printable(text, RAW_MOST).strip("<> ")[:MESSAGE_ID_LIMIT]


def _decoded(raw: bytes) -> str:
    """Return the field with its RFC 2047 words read; what can't be read stays as it was written."""
    text = _text(raw, "utf-8")
    if "=?" not in text:
        return text
    try:
        parts = decode_header(text)
    except (HeaderParseError, binascii.Error, ValueError):
        return text
    return "".join(part if isinstance(part, str) else _text(part, charset or "utf-8") for part, charset in parts)


def _text(raw: bytes, charset: str) -> str:
    try:
        return raw.decode(charset)
    except (UnicodeError, LookupError, ValueError):
        return raw.decode("utf-8", "replace")


def printable(text: str, limit: int) -> str:
    """Return the text on one line, without what a terminal or a page would act on: controls, bidirectional marks."""
    line = _BLANKS.sub(" ", text).strip()
    return "".join(letter for letter in line if letter.isprintable())[:limit]
