"""Users sign in at their customer's provider, too, and are told what became of what they asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns (a provider that is there already is for accounts alone) and make the table."""
    op.add_column("console_signon", sa.Column("users", sa.Text, nullable=False, server_default=""))
    op.add_column("console_signon", sa.Column("users_secret", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "console_wishes",
        sa.Column("user", sa.Text, sa.ForeignKey("console_users.id"), primary_key=True),
        sa.Column("message", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
    )
    op.create_index("console_wishes_of_customer", "console_wishes", ["customer"])
