"""The signed exemption that lets a held message go to one recipient, once.

It is bound to the message, the recipient, the command, the time and the version of the rules that held it: whoever can
write to a topic or a database but has no key can make none, and none fits another message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schemas.events import Action, Customer, Disposition, Exemption

_CONTEXT = b"gatepost exemption 1\n"


def policy_version(customer: Customer) -> str:
    """Return 16 hex digits that change whenever the customer's rules do."""
    outbound = (customer.outbound.rules,) if customer.outbound.rules else ()
    said = msgspec.json.encode([customer.rules, customer.hold_unscanned, customer.unscanned, *outbound])
    return hashlib.sha256(said).hexdigest()[:16]


def exempt(
    key: Ed25519PrivateKey, *, message: str, customer: str, recipient: str, release: str, policy: str, at: float
) -> Exemption:
    """Return the exemption; the same arguments give the same one (RFC 8032)."""
    signature = key.sign(_said(message, customer, recipient, release, policy, at))
    return Exemption(recipient=recipient, policy=policy, at=at, signature=base64.urlsafe_b64encode(signature).decode())


def is_exempt(key: Ed25519PublicKey, disposition: Disposition) -> bool:
    """Return whether each recipient that the release delivers to has a valid exemption."""
    received = disposition.received
    valid = {
        one.recipient
        for one in disposition.exemptions
        if _valid(
            key,
            one.signature,
            _said(received.id, received.customer, one.recipient, disposition.release, one.policy, one.at),
        )
    }
    wanted = {name for branch in disposition.branches if branch.action is Action.DELIVER for name in branch.recipients}
    return bool(wanted) and wanted <= valid


def _valid(key: Ed25519PublicKey, signature: str, said: bytes) -> bool:
    try:
        key.verify(base64.urlsafe_b64decode(signature), said)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _said(*parts: object) -> bytes:
    return _CONTEXT + msgspec.json.encode(parts)
