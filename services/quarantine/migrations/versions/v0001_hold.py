"""Held messages and their recipients."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "quarantine_messages",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("reverse_path", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.Column("disposition", sa.Text, nullable=False),
    )
    op.create_table(
        "quarantine_held",
        sa.Column("id", sa.Text, sa.ForeignKey("quarantine_messages.id"), primary_key=True),
        sa.Column("recipient", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("branch", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("held_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double, nullable=False),
        sa.Column("ended_by", sa.Text, nullable=False),
        sa.Column("command", sa.Text, nullable=False),
    )
    op.create_index("quarantine_held_due", "quarantine_held", ["state", "expires_at"])
    op.create_index("quarantine_held_of_customer", "quarantine_held", ["customer", "state", "id"])


def downgrade() -> None:
    """Take both away; what is held stays in the store, and `recover` finds it there."""
    op.drop_table("quarantine_held")
    op.drop_table("quarantine_messages")
