"""The key that the users' console, the quarantine's API and the directory service know one another by."""

from __future__ import annotations

from typing import Final

import msgspec

from services.runtime.secret_key import given_key

NAME: Final = "GATEPOST_USERS_KEY"


class UsersKey(msgspec.Struct, frozen=True, kw_only=True):
    """GATEPOST_USERS_KEY (base64 of 32 octets), or GATEPOST_USERS_KEY_FILE with the same in it."""

    users_key: str = ""
    users_key_file: str = ""

    def master(self) -> bytes | None:
        """Return the key, None where there is none; raise ConfigError, which never holds the key, when it is none."""
        return given_key(NAME, self.users_key, self.users_key_file)
