"""Codes by time (RFC 6238) and recovery codes. Pure: clock and chance are parameters."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

import pyotp
import segno

SEED: Final = 20  # octets, as long as SHA-1's hash (RFC 4226 section 4, R6)
STEP: Final = 30  # seconds that a code is good for
DIGITS: Final = 6
DRIFT: Final = 1  # steps that a clock may be slow or fast
RECOVERY_CODES: Final = 10
RECOVERY_OCTETS: Final = 10  # 80 bits: a hash without salt gives nothing away
SERVICE: Final = "Gatepost"

Entropy = Callable[[int], bytes]


def secret_of(seed: bytes) -> str:
    """Return the seed as people type it: base32, in groups of four."""
    text = base64.b32encode(seed).decode()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def uri_of(seed: bytes, address: str) -> str:
    """Return the otpauth URI that authenticators read."""
    return _totp(seed).provisioning_uri(name=address, issuer_name=SERVICE)


def picture_of(uri: str) -> str:
    """Return a QR code of the URI as an SVG image in a data URI: no script, and nothing that another host sees."""
    return segno.make(uri, error="m", micro=False).svg_data_uri(scale=5, border=4, light="#fff", dark="#000")


def matched(seed: bytes, code: str, now: float, after: int) -> int | None:
    """Return the step whose code it is, None for none; a step up to `after` has been used (RFC 6238 section 5.2)."""
    if len(code) != DIGITS or not (code.isascii() and code.isdigit()):
        return None
    totp, current, found = _totp(seed), int(now) // STEP, None
    for step in range(max(0, current - DRIFT), current + DRIFT + 1):
        if hmac.compare_digest(totp.generate_otp(step), code) and step > after:
            found = step
    return found


def code_at(seed: bytes, now: float) -> str:
    """Return the code of the moment."""
    return _totp(seed).generate_otp(int(now) // STEP)


def _totp(seed: bytes) -> pyotp.TOTP:
    return pyotp.TOTP(base64.b32encode(seed).decode(), digits=DIGITS, interval=STEP)


def new_recovery_codes(entropy: Entropy) -> list[str]:
    """Return codes for the day on which the authenticator is lost, as people write them down."""
    codes = []
    for _ in range(RECOVERY_CODES):
        text = base64.b32encode(entropy(RECOVERY_OCTETS)).decode().lower()
        codes.append("-".join(text[at : at + 4] for at in range(0, len(text), 4)))
    return codes


def recovery_hash(code: str) -> bytes:
    """Return what the database has of a recovery code, however it is typed."""
    typed = "".join(letter for letter in code.lower() if letter.isalnum())
    return hashlib.sha256(f"recovery {typed}".encode()).digest()
