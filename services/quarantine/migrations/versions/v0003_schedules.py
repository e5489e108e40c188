"""When recipients want their digests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add hours and days; nobody has chosen any yet."""
    for name in ("hours", "days"):
        op.add_column("quarantine_preferences", sa.Column(name, sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    """Take them away: everybody has the organisation's again."""
    for name in ("days", "hours"):
        op.drop_column("quarantine_preferences", name)
