"""The master key: the one secret of an installation's quarantine. All others come from it or are wrapped by it."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.core.errors import ConfigError, StartError
from services.quarantine.seal import KEY, derived

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
        if self.quarantine_key:
            return Secrets(_decoded(self.quarantine_key, NAME))
        if not self.quarantine_key_file:
            raise ConfigError(f"{NAME} or {NAME}_FILE: must be set; `gatepost quarantine make-key FILE` makes one")
        try:
            text = Path(self.quarantine_key_file).read_text("ascii")
        except (OSError, UnicodeError) as error:
            reason = (getattr(error, "strerror", None) or "is no text").lower()
            raise ConfigError(f"{NAME}_FILE: {self.quarantine_key_file}: {reason}") from error
        return Secrets(_decoded(text, f"{NAME}_FILE"))


def make_key(path: Path) -> bool:
    """Make a master key in a file that only its owner reads, durably; return False when the file is there already.

    Raises StartError when the file can't be made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    except OSError as error:
        raise StartError(f"{path} can't be made: {error.strerror or error}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(os.urandom(KEY)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # mail that is encrypted by a key which a power cut takes is lost
    finally:
        os.close(folder)
    return True


def _decoded(text: str, name: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY:
        raise ConfigError(f"{name}: not the base64 of {KEY} octets")
    return key
