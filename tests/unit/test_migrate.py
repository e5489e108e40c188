"""Tables and the code that meets them: older, newer, and what is no version at all."""

from __future__ import annotations

import pytest
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, inspect, text

from services.quarantine.migrate import upgrade


def version(connection: Connection) -> str:
    return str(connection.execute(text("SELECT version_num FROM quarantine_version")).scalar_one())


def test_an_upgrade_can_be_made_again() -> None:
    with create_engine("sqlite://").begin() as connection:
        upgrade(connection)
        newest = version(connection)
        upgrade(connection)
        assert version(connection) == newest


def test_code_that_was_rolled_back_leaves_newer_tables_as_they_are() -> None:
    """A release after this one has added a column; a rollback brings this one back, and must not fail on it."""
    with create_engine("sqlite://").begin() as connection:
        upgrade(connection)
        connection.execute(text("ALTER TABLE quarantine_messages ADD COLUMN later TEXT"))
        connection.execute(text("UPDATE quarantine_version SET version_num = '9999'"))
        upgrade(connection)
        assert version(connection) == "9999"
        assert "later" in {column["name"] for column in inspect(connection).get_columns("quarantine_messages")}


def test_a_version_that_is_asked_for_and_unknown_is_an_error() -> None:
    with create_engine("sqlite://").begin() as connection, pytest.raises(CommandError, match="9999"):
        upgrade(connection, "9999")
