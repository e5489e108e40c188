"""Sums by hour, customer, kind and name: what dashboards and reports are drawn from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table. It begins empty: `gatepost trace rebuild --clear` counts what the topics still hold."""
    op.create_table(
        "trace_tallies",
        sa.Column("customer", sa.Text, primary_key=True),
        sa.Column("hour", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
    )
    op.create_index("trace_tallies_hour", "trace_tallies", ["hour"])


def downgrade() -> None:
    """Take it away."""
    op.drop_table("trace_tallies")
