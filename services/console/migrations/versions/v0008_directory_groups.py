"""Groups of the addresses in a list."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0009"


def upgrade() -> None:
    """Add the column: nobody is in a group yet."""
    op.add_column("console_recipients", sa.Column("groups", sa.Text, nullable=False, server_default=""))
