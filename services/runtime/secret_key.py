"""Master keys: 32 octets that the operator gives in the environment or in a file, and that wrap all others."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from services.core.errors import ConfigError, StartError
from services.core.wrapping import KEY


def given_key(name: str, value: str, file: str) -> bytes | None:
    """Return the key of the setting, or of the file that `<name>_FILE` names; None where neither is set.

    Raises ConfigError, which never holds the key.
    """
    if value:
        return _decoded(value, name)
    if not file:
        return None
    try:
        text = Path(file).read_text("ascii")
    except (OSError, UnicodeError) as error:
        reason = (getattr(error, "strerror", None) or "is no text").lower()
        raise ConfigError(f"{name}_FILE: {file}: {reason}") from error
    return _decoded(text, f"{name}_FILE")


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
