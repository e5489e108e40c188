"""The tables of the quarantine index. `migrations/` makes them; a test holds the two together."""

from __future__ import annotations

import enum
from typing import Final

from sqlalchemy import Column, Double, ForeignKey, Index, Integer, MetaData, Table, Text


class State(enum.StrEnum):
    """Where a held message is for one recipient."""

    HELD = "held"
    RELEASED = "released"
    DELETED = "deleted"
    EXPIRING = "expiring"  # its outcome is being published; a release comes too late
    EXPIRED = "expired"


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
    Index("quarantine_held_due", "state", "expires_at"),
    Index("quarantine_held_of_customer", "customer", "state", "id"),
)
