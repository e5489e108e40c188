"""What `gatepost licence` does."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.cli.printing import stamp
from services.console.licence import DAY, BadLicence, Terms, issue_key, private_key, public_key, read
from services.core.errors import ConfigError
from services.core.ids import message_id
from services.runtime.secret_key import make_key as make_file


def make_key(path: Path) -> str:
    """Make the file, which only its owner reads, and return the public key; raise ConfigError when it is there."""
    if not make_file(path):
        raise ConfigError(f"{path} is there already, and a new key would make every licence worthless")
    return _public(_private(path))


def issue(path: Path, customer: str, users: int, days: float) -> str:
    """Return a key for the customer from now on."""
    now = time.time()
    identity = message_id(now, os.urandom)
    terms = Terms(id=identity, customer=customer, users=users, since=now, until=now + days * DAY)
    return issue_key(_private(path), terms)


def show(key: str, public: str) -> str:
    """Return what a person should read of the key; raise ConfigError for one that isn't ours."""
    try:
        terms = read(public_key(public), key)
    except BadLicence as error:
        raise ConfigError(str(error)) from error
    return f"{terms.id}: {terms.customer}, {terms.users} users, {stamp(terms.since)} to {stamp(terms.until)} UTC"


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        return private_key(path.read_text("ascii"))
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or 'is no text'}") from error
    except BadLicence as error:
        raise ConfigError(f"{path}: {error}") from error


def _public(private: Ed25519PrivateKey) -> str:
    return base64.b64encode(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
