"""Users and groups of customers: their addresses, links and sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "console_users",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("closed_at", sa.Double, nullable=False),
    )
    op.create_index("console_users_of_customer", "console_users", ["customer", "address"])
    op.create_index("console_users_of_entry", "console_users", ["customer", "source", "entry"])
    op.create_table(
        "console_user_addresses",
        sa.Column("customer", sa.Text, primary_key=True),
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("user", sa.Text, sa.ForeignKey("console_users.id"), nullable=False),
    )
    op.create_index("console_user_addresses_of_user", "console_user_addresses", ["user"])
    op.create_table(
        "console_user_members",
        sa.Column("group", sa.Text, sa.ForeignKey("console_users.id"), primary_key=True),
        sa.Column("user", sa.Text, sa.ForeignKey("console_users.id"), primary_key=True),
        sa.Column("customer", sa.Text, nullable=False),
    )
    op.create_index("console_user_members_of_user", "console_user_members", ["user"])
    op.create_table(
        "console_user_links",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("user", sa.Text, sa.ForeignKey("console_users.id"), nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("used_at", sa.Double, nullable=False),
    )
    op.create_index("console_user_links_of_user", "console_user_links", ["user"])
    op.create_table(
        "console_user_sessions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("user", sa.Text, sa.ForeignKey("console_users.id"), nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
    )
    op.create_index("console_user_sessions_of_user", "console_user_sessions", ["user"])


def downgrade() -> None:
    """Take the tables away."""
    for table in ("sessions", "links", "members", "addresses"):
        op.drop_table(f"console_user_{table}")
    op.drop_table("console_users")
