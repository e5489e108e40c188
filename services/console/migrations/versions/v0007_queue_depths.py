"""How much waited for MTAs, hour by hour."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table. It begins empty: what waited before nobody has written down."""
    op.create_table(
        "console_queue_depths",
        sa.Column("customer", sa.Text, primary_key=True),
        sa.Column("hour", sa.Integer, primary_key=True),
        sa.Column("most", sa.Integer, nullable=False),
        sa.Column("waited", sa.Double, nullable=False),
    )
    op.create_index("console_queue_depths_hour", "console_queue_depths", ["hour"])


def downgrade() -> None:
    """Take it away."""
    op.drop_table("console_queue_depths")
