"""Users sign in at their customer's provider, too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns; a provider that is there already is for accounts alone."""
    op.add_column("console_signon", sa.Column("users", sa.Text, nullable=False, server_default=""))
    op.add_column("console_signon", sa.Column("users_secret", sa.Text, nullable=False, server_default=""))
