"""Secrets in the database: sealed for one purpose and one owner, and by one master key."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from services.console.caller import Refused
from services.console.secrets import Keeper
from services.core.errors import ConfigError, KeyDestroyed
from services.core.secrets import Purpose, Secrets
from services.runtime.console_key import open_secrets

SECRETS = Secrets(bytes(32), os.urandom)
PASSWORD = "correct horse, ünd so on"


def test_what_was_sealed_opens_and_does_not_show() -> None:
    sealed = SECRETS.seal(Purpose.DIRECTORY, "acme/ldap", PASSWORD)
    assert SECRETS.open(Purpose.DIRECTORY, "acme/ldap", sealed) == PASSWORD
    assert b"horse" not in base64.b64decode(sealed)
    assert SECRETS.seal(Purpose.DIRECTORY, "acme/ldap", PASSWORD) != sealed, "the same nonce twice"


@pytest.mark.parametrize(
    ("master", "purpose", "about"),
    [
        (bytes(32), Purpose.DIRECTORY, "other/ldap"),  # copied into another customer's row
        (bytes(32), Purpose.SECOND_FACTOR, "acme/ldap"),
        (b"\1" * 32, Purpose.DIRECTORY, "acme/ldap"),
    ],
)
def test_it_opens_nowhere_else(master: bytes, purpose: Purpose, about: str) -> None:
    sealed = SECRETS.seal(Purpose.DIRECTORY, "acme/ldap", PASSWORD)
    with pytest.raises(KeyDestroyed):
        Secrets(master, os.urandom).open(purpose, about, sealed)


@pytest.mark.parametrize("sealed", ["", "é", "AAAA", "not base64!", base64.b64encode(bytes(60)).decode()])
def test_what_is_no_sealed_secret_is_said_so(sealed: str) -> None:
    with pytest.raises(KeyDestroyed):
        SECRETS.open(Purpose.DIRECTORY, "acme/ldap", sealed)


def test_without_a_key_nothing_is_taken() -> None:
    with pytest.raises(Refused, match=r"secrets\.no-key"):
        Keeper(None, Purpose.SECOND_FACTOR).seal("account", PASSWORD)


def test_another_key_than_it_was_sealed_by_is_said_to_people() -> None:
    sealed = Keeper(SECRETS, Purpose.SECOND_FACTOR).seal("account", PASSWORD)
    assert Keeper(SECRETS, Purpose.SECOND_FACTOR).open("account", sealed) == PASSWORD
    with pytest.raises(Refused, match=r"secrets\.other-key"):
        Keeper(Secrets(b"\1" * 32, os.urandom), Purpose.SECOND_FACTOR).open("account", sealed)


def test_the_key_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "console.key"
    file.write_text(base64.b64encode(bytes(32)).decode() + "\n")
    sealed = SECRETS.seal(Purpose.DIRECTORY, "acme/ldap", PASSWORD)
    for environ in (
        {"GATEPOST_CONSOLE_KEY": base64.b64encode(bytes(32)).decode()},
        {"GATEPOST_CONSOLE_KEY_FILE": str(file)},
    ):
        secrets = open_secrets(environ)
        assert secrets is not None
        assert secrets.open(Purpose.DIRECTORY, "acme/ldap", sealed) == PASSWORD
    assert open_secrets({}) is None
    with pytest.raises(ConfigError) as error:
        open_secrets({"GATEPOST_CONSOLE_KEY": "hunter2"})
    assert "hunter2" not in str(error.value)
