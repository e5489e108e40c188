"""The master key: the one secret of an installation's quarantine. All others come from it or are wrapped by it."""

from __future__ import annotations

import base64
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.core.errors import ConfigError
from services.core.wrapping import derived
from services.runtime.secret_key import given_key

NAME: Final = "GATEPOST_QUARANTINE_KEY"


class Secrets:
    """What the master key is used for, each by a key of its own."""

    def __init__(self, master: bytes) -> None:
        self.wrapping = derived(master, "customers' keys")
        self.links = derived(master, "links")
        self.signing = Ed25519PrivateKey.from_private_bytes(derived(master, "exemptions"))

    @property
    def public(self) -> str:
        """The key that exemptions are checked with: base64."""
        raw = self.signing.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return base64.b64encode(raw).decode()


class MasterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """GATEPOST_QUARANTINE_KEY (base64 of 32 octets), or GATEPOST_QUARANTINE_KEY_FILE with the same in it."""

    quarantine_key: str = ""
    quarantine_key_file: str = ""

    def secrets(self) -> Secrets:
        """Return the secrets; raise ConfigError, which never holds the key, when there is none or it is none."""
        key = given_key(NAME, self.quarantine_key, self.quarantine_key_file)
        if key is None:
            raise ConfigError(f"{NAME} or {NAME}_FILE: must be set; `gatepost quarantine make-key FILE` makes one")
        return Secrets(key)
