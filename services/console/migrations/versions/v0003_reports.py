"""Reports that are sent by themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0005"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "console_reports",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, sa.ForeignKey("console_customers.id"), nullable=False),
        sa.Column("account", sa.Text, sa.ForeignKey("console_accounts.id"), nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
    op.create_index("console_reports_of_customer", "console_reports", ["customer", "id"])
    op.create_index("console_reports_due", "console_reports", ["period", "until"])


def downgrade() -> None:
    """Take it away."""
    op.drop_table("console_reports")
