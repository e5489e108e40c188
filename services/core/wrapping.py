"""Keys under keys: what a master key derives, and what it wraps, each good for one purpose alone. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.core.errors import KeyDestroyed

KEY: Final = 32  # octets
NONCE: Final = 12

Entropy = Callable[[int], bytes]


def derived(master: bytes, purpose: str) -> bytes:
    """Return the 32 octets that the master key has for one purpose (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=KEY, salt=None, info=f"gatepost {purpose}".encode()).derive(master)


def wrap(key: bytes, secret: bytes, about: str, entropy: Entropy) -> bytes:
    """Return the secret encrypted under the key, good only for what `about` names."""
    nonce = entropy(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, secret, about.encode())


def unwrap(key: bytes, wrapped: bytes, about: str) -> bytes:
    """Return the secret; raise KeyDestroyed when this key, or `about`, is not the one that it was wrapped with."""
    try:
        return AESGCM(key).decrypt(wrapped[:NONCE], wrapped[NONCE:], about.encode())
    except (InvalidTag, ValueError) as error:
        raise KeyDestroyed("a key does not open with the master key that is configured") from error
