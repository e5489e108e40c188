"""The tables of the quarantine index. `migrations/` makes them; a test holds the two together."""

from __future__ import annotations

import enum
from typing import Final

from sqlalchemy import Column, Double, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text


class State(enum.StrEnum):
    """Where a held message is for one recipient."""

    HELD = "held"
    RELEASING = "releasing"  # the virus scanner looks once more
    STOPPED = "release-stopped"  # it found a virus: still held
    RELEASED = "released"
    DELETED = "deleted"
    EXPIRING = "expiring"  # its outcome is being published; a release comes too late
    EXPIRED = "expired"


WAITING: Final = frozenset({State.HELD, State.RELEASING, State.STOPPED, State.EXPIRING})  # no outcome yet
WANTED: Final = "wanted"  # reported as clean by a recipient who may not release it, and asks somebody who may
METADATA: Final = MetaData()

MESSAGES: Final = Table(
    "quarantine_messages",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("customer", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("reverse_path", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("score", Double, nullable=False),
    Column("size", Integer, nullable=False),
    Column("total", Integer, nullable=False),  # recipients of the message in all
    Column("received_at", Double, nullable=False),
    Column("disposition", Text, nullable=False),  # the event as JSON: what a release is made of
    Column("header_from", Text, nullable=False, server_default=""),
    Column("policy", Text, nullable=False, server_default=""),  # the version of the rules that held it
)

HELD: Final = Table(
    "quarantine_held",
    METADATA,
    Column("id", Text, ForeignKey("quarantine_messages.id"), primary_key=True),
    Column("recipient", Text, primary_key=True),
    Column("customer", Text, nullable=False),
    Column("branch", Text, nullable=False),  # the event as JSON, without recipients: what its release keeps of it
    Column("rule", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("held_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("ended_at", Double, nullable=False),  # 0 while it is held
    Column("ended_by", Text, nullable=False),  # who released or deleted it
    Column("command", Text, nullable=False),  # the id of the command, or of the sweep, that ended it
    Column("note", Text, nullable=False, server_default=""),  # why a release was stopped, or waits
    Column("reported", Text, nullable=False, server_default=""),  # clean, spam, or WANTED
    Column("final", Text, nullable=False, server_default=""),  # the outcome of a release
    Column("waits", Integer, nullable=False, server_default="1"),  # 1 in the states of WAITING
    Column("sender", Text, nullable=False, server_default=""),  # what a search for senders looks at, case folded
    Column("words", Text, nullable=False, server_default=""),  # the subject, case folded
    Index("quarantine_held_due", "state", "expires_at"),
    Index("quarantine_held_of_customer", "customer", "state", "id"),
    Index("quarantine_held_page", "customer", "waits", "id", "recipient"),
    Index("quarantine_held_all", "customer", "id", "recipient"),
    Index("quarantine_held_of_recipient", "customer", "recipient", "id"),
)

CUSTOMER_KEYS: Final = Table(
    "quarantine_keys",
    METADATA,
    Column("customer", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),  # empty once it is destroyed
    Column("made_at", Double, nullable=False),
    Column("destroyed_at", Double, nullable=False),  # 0 while it opens mail
)

TOKENS: Final = Table(
    "quarantine_tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False),  # SHA-256 of the secret, which has 256 bits of chance
    Column("customer", Text, nullable=False),  # empty: the installation's owner
    Column("role", Text, nullable=False),
    Column("addresses", Text, nullable=False),  # of a user, canonical, one a line
    Column("label", Text, nullable=False),
    Column("made_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("revoked_at", Double, nullable=False),  # 0 while it is good
)

DIGESTS: Final = Table(
    "quarantine_digests",
    METADATA,
    Column("customer", Text, primary_key=True),
    Column("recipient", Text, primary_key=True),
    Column("window", Double, primary_key=True),  # when it was due
    Column("message", Text, nullable=False),  # the id of the digest
    Column("until", Double, nullable=False),  # what was held up to then is in it
    Column("items", Integer, nullable=False),
)

PREFERENCES: Final = Table(
    "quarantine_preferences",
    METADATA,
    Column("customer", Text, primary_key=True),
    Column("recipient", Text, primary_key=True),  # canonical
    Column("language", Text, nullable=False),
    Column("digest", Integer, nullable=False),  # 0: wants none
    Column("hours", Integer, nullable=False, server_default="0"),  # 1 << hour of each that he wants; 0: all of them
    Column("days", Integer, nullable=False, server_default="0"),  # 1 << day of the week, Monday first; 0: every day
)
