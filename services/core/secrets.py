"""Secrets in a database or on a topic: encrypted under a master key, good for one purpose and one owner. Pure."""

from __future__ import annotations

import base64
import binascii
import enum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.core.errors import KeyDestroyed
from services.core.wrapping import Entropy, derived, unwrap, wrap


class Purpose(enum.StrEnum):
    """What a secret is for: each has a key of its own, so that none opens in another's place."""

    DIRECTORY = "directory passwords"  # about: customer/source
    SECOND_FACTOR = "second factors"  # about: the account
    SIGN_ON = "single sign-on"  # about: the customer


class Secrets:
    """Seals and opens. AES-256-GCM under keys derived from the master key (RFC 5869)."""

    def __init__(self, master: bytes, entropy: Entropy) -> None:
        self._keys = {purpose: derived(master, f"console {purpose.value}") for purpose in Purpose}
        self._entropy = entropy
        self._signing = Ed25519PrivateKey.from_private_bytes(derived(master, "console certificates"))

    def signing(self) -> Ed25519PrivateKey:
        """Return the key that certificates of what was deleted are signed with."""
        return self._signing

    def seal(self, purpose: Purpose, about: str, secret: str) -> str:
        """Return the secret as text that says nothing; it opens for the same purpose and `about` alone."""
        return base64.b64encode(wrap(self._keys[purpose], secret.encode(), about, self._entropy)).decode()

    def open(self, purpose: Purpose, about: str, sealed: str) -> str:
        """Return the secret; raise KeyDestroyed when it was sealed by another master key, or for something else."""
        try:
            octets = base64.b64decode(sealed, validate=True)
        except (binascii.Error, ValueError) as error:
            raise KeyDestroyed("not a sealed secret") from error
        return unwrap(self._keys[purpose], octets, about).decode()
