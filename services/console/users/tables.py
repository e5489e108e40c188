"""The tables of a customer's people: who they are, which addresses are theirs, and their sessions.

They stand apart from the console's accounts, so that nothing that a recipient holds (password, link, cookie) can ever
be taken for an administrator's. Every row names its customer, and so does every statement that reads one for somebody.
"""

from __future__ import annotations

import enum
from typing import Final

from sqlalchemy import Column, Double, ForeignKey, Index, LargeBinary, Table, Text

from services.console.tables import METADATA


class Kind(enum.StrEnum):
    """What an entry is."""

    USER = "user"  # may sign in
    GROUP = "group"  # a list or a shared mailbox: its members see what is held for it


HAND: Final = "hand"  # sources; LDAP's are `ldap:` and the name of the customer's directory
CSV: Final = "csv"
PROVIDER: Final = "provider"  # of single sign-on: made at his first sign-in

USERS: Final = Table(
    "console_users",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("customer", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("address", Text, nullable=False),  # canonical: the one that mail to him goes to
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("entry", Text, nullable=False),  # what the directory calls him; empty: it doesn't
    Column("language", Text, nullable=False),  # empty: what his browser asks for
    Column("password", Text, nullable=False),  # argon2's own form; empty: none yet
    Column("made_at", Double, nullable=False),
    Column("closed_at", Double, nullable=False),  # 0 while he may sign in
    Index("console_users_of_customer", "customer", "address"),
    Index("console_users_of_entry", "customer", "source", "entry"),
)

ADDRESSES: Final = Table(
    "console_user_addresses",
    METADATA,
    Column("customer", Text, primary_key=True),
    Column("address", Text, primary_key=True),  # canonical; one holder each
    Column("user", Text, ForeignKey("console_users.id"), nullable=False),
    Index("console_user_addresses_of_user", "user"),
)

MEMBERS: Final = Table(
    "console_user_members",
    METADATA,
    Column("group", Text, ForeignKey("console_users.id"), primary_key=True),
    Column("user", Text, ForeignKey("console_users.id"), primary_key=True),
    Column("customer", Text, nullable=False),
    Index("console_user_members_of_user", "user"),
)

WISHES: Final = Table(
    "console_wishes",
    METADATA,
    Column("user", Text, ForeignKey("console_users.id"), primary_key=True),
    Column("message", Text, primary_key=True),  # held, which he asks for and may not release
    Column("customer", Text, nullable=False),
    Column("made_at", Double, nullable=False),
    Index("console_wishes_of_customer", "customer"),
)

USER_LINKS: Final = Table(
    "console_user_links",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False),  # SHA-256 of the secret
    Column("user", Text, ForeignKey("console_users.id"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),  # 0 while it is good
    Index("console_user_links_of_user", "user"),
)

USER_SESSIONS: Final = Table(
    "console_user_sessions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("user", Text, ForeignKey("console_users.id"), nullable=False),
    Column("made_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("client", Text, nullable=False),  # the address that it was begun from
    Column("agent", Text, nullable=False),  # what his browser calls itself
    Index("console_user_sessions_of_user", "user"),
)
