"""Customers' keys, what a search looks at, tokens, digests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_WAITING = "state IN ('held', 'expiring')"


def upgrade() -> None:
    """Add what is new; what is held stays readable and can be found."""
    for name in ("header_from", "policy"):
        op.add_column("quarantine_messages", sa.Column(name, sa.Text, nullable=False, server_default=""))
    for name in ("note", "reported", "final"):
        op.add_column("quarantine_held", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("quarantine_held", sa.Column("waits", sa.Integer, nullable=False, server_default="1"))
    for name in ("sender", "words"):
        op.add_column("quarantine_held", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.execute(f"UPDATE quarantine_held SET waits = CASE WHEN {_WAITING} THEN 1 ELSE 0 END")  # noqa: S608  # a constant
    of_message = "(SELECT lower(m.{}) FROM quarantine_messages m WHERE m.id = quarantine_held.id)"
    op.execute(
        f"UPDATE quarantine_held SET sender = {of_message.format('reverse_path')}, "  # noqa: S608  # a constant
        f"words = {of_message.format('subject')}"
    )
    op.create_index("quarantine_held_page", "quarantine_held", ["customer", "waits", "id", "recipient"])
    op.create_index("quarantine_held_all", "quarantine_held", ["customer", "id", "recipient"])
    op.create_index("quarantine_held_of_recipient", "quarantine_held", ["customer", "recipient", "id"])
    op.create_table(
        "quarantine_keys",
        sa.Column("customer", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("destroyed_at", sa.Double, nullable=False),
    )
    op.create_table(
        "quarantine_tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("addresses", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("revoked_at", sa.Double, nullable=False),
    )
    op.create_table(
        "quarantine_digests",
        sa.Column("customer", sa.Text, primary_key=True),
        sa.Column("recipient", sa.Text, primary_key=True),
        sa.Column("window", sa.Double, primary_key=True),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("items", sa.Integer, nullable=False),
    )
    op.create_table(
        "quarantine_preferences",
        sa.Column("customer", sa.Text, primary_key=True),
        sa.Column("recipient", sa.Text, primary_key=True),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("digest", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    """Take away what came; the customers' keys are then only in the store."""
    for table in ("quarantine_preferences", "quarantine_digests", "quarantine_tokens", "quarantine_keys"):
        op.drop_table(table)
    for index in ("quarantine_held_of_recipient", "quarantine_held_all", "quarantine_held_page"):
        op.drop_index(index, "quarantine_held")
    for name in ("words", "sender", "waits", "final", "reported", "note"):
        op.drop_column("quarantine_held", name)
    for name in ("policy", "header_from"):
        op.drop_column("quarantine_messages", name)
