"""The master key of the secrets that the console keeps: the console seals with it, the directory service opens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import msgspec

from services.core.secrets import Secrets
from services.runtime.config import load
from services.runtime.secret_key import given_key

NAME: Final = "GATEPOST_CONSOLE_KEY"


class ConsoleKeyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """GATEPOST_CONSOLE_KEY (base64 of 32 octets), or GATEPOST_CONSOLE_KEY_FILE with the same in it."""

    console_key: str = ""
    console_key_file: str = ""


def open_secrets(environ: Mapping[str, str]) -> Secrets | None:
    """Return what seals and opens, None where no key is given; raise ConfigError, without the key, for what is none."""
    config = load(ConsoleKeyConfig, environ)
    master = given_key(NAME, config.console_key, config.console_key_file)
    return None if master is None else Secrets(master, os.urandom)
