"""The certificate of what was deleted of a customer: a text, and a signature over exactly it. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_CONTEXT: Final = b"gatepost certificate of deletion 1\n"
REMAINS: Final = (
    "Events without content, by which mail is accounted for, leave with the retention of their topics, after 90 days "
    "at the latest. Mail that was in flight ended as every mail does. Copies that were made of the database, and what "
    "receivers and senders keep, are not ours to delete."
)


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept: `text` is the JSON that was signed."""

    text: str
    signature: str  # base64 of Ed25519
    public_key: str  # base64


def issue(  # what a certificate says
    private: Ed25519PrivateKey,
    *,
    identity: str,
    customer: str,
    name: str,
    service: str,
    times: Mapping[str, float],
    counts: Mapping[str, int],
) -> Certificate:
    """Return the certificate; times are seconds since the epoch, counts what was deleted of each kind."""
    said = {
        "certificate": "deletion of a customer's data",
        "id": identity,
        "service": service,
        "customer": customer,
        "name": name,
        **{what: _time(at) for what, at in times.items()},
        "deleted": dict(sorted(counts.items())),
        "remains": REMAINS,
    }
    text = msgspec.json.format(msgspec.json.encode(said), indent=2).decode()
    public = private.public_key().public_bytes_raw()
    return Certificate(text=text, signature=_base64(private.sign(_CONTEXT + text.encode())), public_key=_base64(public))


def holds(certificate: Certificate, public: Ed25519PublicKey) -> bool:
    """Return whether the key has signed exactly this text."""
    try:
        public.verify(base64.b64decode(certificate.signature), _CONTEXT + certificate.text.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
