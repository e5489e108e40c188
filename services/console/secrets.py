"""Secrets that the database keeps, never in the clear: `Keeper` is a column's way in and out."""

from __future__ import annotations

import dataclasses
import os

from services.console.caller import Refused
from services.core.errors import KeyDestroyed
from services.core.secrets import Purpose, Secrets


def users_keeper(master: bytes | None) -> Keeper:
    """Return what seals providers' secrets for the users' console; `master`: the users' key, None: not set."""
    return Keeper(None if master is None else Secrets(master, os.urandom), Purpose.SIGN_ON)


@dataclasses.dataclass(frozen=True, slots=True)
class Keeper:
    """Seals for one purpose. Without a master key nothing is taken: what can't be sealed isn't kept."""

    secrets: Secrets | None  # of GATEPOST_CONSOLE_KEY; None: not set
    purpose: Purpose

    def seal(self, about: str, secret: str) -> str:
        """Return what the row is to hold of the secret of `about`; raise Refused without a master key."""
        return self._secrets().seal(self.purpose, about, secret)

    def open(self, about: str, sealed: str) -> str:
        """Return the secret; raise Refused without a master key, or with another than it was sealed by."""
        try:
            return self._secrets().open(self.purpose, about, sealed)
        except KeyDestroyed as error:
            raise Refused("secrets.other-key") from error

    def _secrets(self) -> Secrets:
        if self.secrets is None:
            raise Refused("secrets.no-key")
        return self.secrets
