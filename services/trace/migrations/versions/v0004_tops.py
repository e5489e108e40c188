"""Who sent and received most, day by day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables. The service fills them from the messages that are there, a day at a time."""
    op.create_table(
        "trace_tops",
        sa.Column("customer", sa.Text, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("senders", sa.Text, nullable=False),
        sa.Column("recipients", sa.Text, nullable=False),
    )
    op.create_index("trace_tops_day", "trace_tops", ["day"])
    op.create_table(
        "trace_tops_days",
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    """Take them away."""
    op.drop_table("trace_tops_days")
    op.drop_table("trace_tops")
