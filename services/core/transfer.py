"""Content transfer encodings as the most forgiving reader decodes them (RFC 2045 section 6): nothing raises."""

from __future__ import annotations

import binascii
import re
from typing import Final

_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_UU_BEGIN = re.compile(rb"^begin [0-7]{3,4} [^\r\n]{1,200}\r?\n", re.MULTILINE)


def decode(data: bytes, encoding: str) -> bytes:
    """Return the octets that a content-transfer-encoding stands for; those of an unknown one are as they came."""
    decoder = DECODERS.get(encoding)
    return decoder(data) if decoder else data


def base64_lenient(data: bytes) -> bytes:
    """Decode as the most forgiving reader would: other characters are skipped, and text after padding counts."""
    decoded = []
    for run in data.translate(None, _NOT_BASE64).split(b"="):
        usable = run[: len(run) - 1] if len(run) % 4 == 1 else run  # a single character left over holds no octet
        decoded.append(binascii.a2b_base64(usable + b"=" * (-len(usable) % 4)))
    return b"".join(decoded)


def _quoted_printable(data: bytes) -> bytes:
    return binascii.a2b_qp(data)


def uuencoded(data: bytes) -> bytes:
    """Return the octets of all uuencoded blocks in the data, joined; lines that are none end a block."""
    decoded = []
    for found in _UU_BEGIN.finditer(data):
        at = found.end()
        while at < len(data):
            stop = data.find(b"\n", at)
            line = data[at : stop if stop >= 0 else len(data)].rstrip(b"\r")
            try:
                octets = binascii.a2b_uu(line)
            except binascii.Error:
                break
            if not octets:
                break
            decoded.append(octets)
            at = stop + 1 if stop >= 0 else len(data)
    return b"".join(decoded)


DECODERS: Final = {
    "base64": base64_lenient,
    "quoted-printable": _quoted_printable,
    "x-uuencode": uuencoded,
    "uuencode": uuencoded,
    "x-uue": uuencoded,
}
