"""SASL in SMTP's base64: PLAIN (RFC 4616) and LOGIN, which some MTAs speak alone. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from services.core.errors import Permanent


class BadResponse(Permanent):
    """Not what the mechanism asks for."""


class Credentials(NamedTuple):
    """Who somebody says that he is, and his proof."""

    name: str
    password: bytes


def decoded(text: str) -> bytes:
    """Return the octets of a response (RFC 4954 section 4: `=` is the empty one); raise BadResponse."""
    if text == "=":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadResponse("not base64") from error


def plain(response: bytes) -> Credentials:
    """Return what a PLAIN response says; raise BadResponse. To act as somebody else is nobody's right here."""
    parts = response.split(b"\0")
    if len(parts) != 3 or not parts[1] or not parts[2]:  # noqa: PLR2004  # as whom, who, and the password
        raise BadResponse("not three parts")
    if parts[0] and parts[0] != parts[1]:
        raise BadResponse("another identity")
    return Credentials(name_of(parts[1]), parts[2])


def name_of(octets: bytes) -> str:
    """Return the name as accounts have it; raise BadResponse when it can be none."""
    try:
        return octets.decode().strip().casefold()
    except UnicodeDecodeError as error:
        raise BadResponse("a name that is not UTF-8") from error
