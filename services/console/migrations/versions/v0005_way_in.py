"""Users that are counted, purges, sign-ups, domains proved by mail, directories and lists before they are used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "console_census",
        sa.Column("customer", sa.Text, sa.ForeignKey("console_customers.id"), primary_key=True),
        sa.Column("users", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "console_purges",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("lapsed_at", sa.Double, nullable=False),
        sa.Column("begun_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("certificate", sa.Text, nullable=False),
    )
    op.create_table(
        "console_signups",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("used_at", sa.Double, nullable=False),
    )
    op.create_index("console_signups_of_address", "console_signups", ["address", "expires_at"])
    op.create_table(
        "console_proofs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("used_at", sa.Double, nullable=False),
    )
    op.create_index("console_proofs_of_domain", "console_proofs", ["customer", "domain"])
    op.create_table(
        "console_drafts",
        sa.Column("customer", sa.Text, sa.ForeignKey("console_customers.id"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
    )
    op.create_table(
        "console_uploads",
        sa.Column("customer", sa.Text, sa.ForeignKey("console_customers.id"), primary_key=True),
        sa.Column("addresses", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
    )
