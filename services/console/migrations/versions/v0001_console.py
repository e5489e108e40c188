"""Customers, accounts, and what leads from them to the topics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "console_customers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("trial_until", sa.Double, nullable=False),
        sa.Column("paid_until", sa.Double, nullable=False),
        sa.Column("users", sa.Integer, nullable=False),
        sa.Column("licence", sa.Text, nullable=False),
    )
    op.create_table(
        "console_domains",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, sa.ForeignKey("console_customers.id"), nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
    )
    op.create_index("console_domains_of_customer", "console_domains", ["customer", "place"])
    op.create_table(
        "console_claims",
        sa.Column("customer", sa.Text, sa.ForeignKey("console_customers.id"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("proof", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
    )
    op.create_table(
        "console_recipients",
        sa.Column("customer", sa.Text, sa.ForeignKey("console_customers.id"), primary_key=True),
        sa.Column("address", sa.Text, primary_key=True),
    )
    op.create_table(
        "console_accounts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("closed_at", sa.Double, nullable=False),
    )
    op.create_index("console_accounts_of_customer", "console_accounts", ["customer", "address"])
    op.create_table(
        "console_links",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("account", sa.Text, sa.ForeignKey("console_accounts.id"), nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("used_at", sa.Double, nullable=False),
    )
    op.create_index("console_links_of_account", "console_links", ["account"])
    op.create_table(
        "console_sessions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("account", sa.Text, sa.ForeignKey("console_accounts.id"), nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
    )
    op.create_index("console_sessions_of_account", "console_sessions", ["account"])
    op.create_table(
        "console_tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("account", sa.Text, sa.ForeignKey("console_accounts.id"), nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("revoked_at", sa.Double, nullable=False),
    )
    op.create_index("console_tokens_of_customer", "console_tokens", ["customer", "id"])
    op.create_table(
        "console_audit",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
    )
    op.create_index("console_audit_of_customer", "console_audit", ["customer", "id"])
    op.create_table(
        "console_outbox",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
    )
    op.create_index("console_outbox_lane", "console_outbox", ["lane", "id"])
    op.create_table(
        "console_leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
    op.create_table(
        "console_failures",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_index("console_failures_of_key", "console_failures", ["key", "at"])


def downgrade() -> None:
    """Take the tables away."""
    for table in (
        "console_failures",
        "console_leases",
        "console_outbox",
        "console_audit",
        "console_tokens",
        "console_sessions",
        "console_links",
        "console_accounts",
        "console_recipients",
        "console_claims",
        "console_domains",
        "console_customers",
    ):
        op.drop_table(table)
