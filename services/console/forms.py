"""What a browser posts: fields as text, and small files as what they say (RFC 7578). Pure."""

from __future__ import annotations

import email.parser
import email.policy
import urllib.parse
from collections.abc import Mapping
from typing import Final

FIELDS_MOST: Final = 200
URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"


def fields_of(content_type: str, body: bytes) -> Mapping[str, list[str]]:
    """Return the values by field; nothing for what is no form, or has too many fields."""
    if content_type.startswith(URLENCODED):
        try:
            return urllib.parse.parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MOST)
        except ValueError:
            return {}
    if content_type.startswith(MULTIPART) and content_type.isascii() and content_type.isprintable():
        return _parts(content_type.encode(), body)
    return {}


def _parts(content_type: bytes, body: bytes) -> Mapping[str, list[str]]:
    head = b"Content-Type: " + content_type + b"\r\n\r\n"
    form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    found: dict[str, list[str]] = {}
    parts = form.get_payload()
    if not isinstance(parts, list) or len(parts) > FIELDS_MOST:
        return {}
    for part in parts:
        if isinstance(part, str):
            return {}
        name = part.get_param("name", header="content-disposition")
        octets = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(octets, bytes):
            found.setdefault(name, []).append(octets.decode("utf-8", "replace"))
    return found
