"""Second factors, passkeys, single sign-on, and accounts that are limited to domains."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns and make the tables."""
    op.add_column("console_customers", sa.Column("second_factor", sa.Integer, nullable=False, server_default="0"))
    op.add_column("console_accounts", sa.Column("domains", sa.Text, nullable=False, server_default=""))
    op.add_column("console_sessions", sa.Column("strong", sa.Integer, nullable=False, server_default="0"))
    op.add_column("console_tokens", sa.Column("used_at", sa.Double, nullable=False, server_default="0"))
    op.create_table(
        "console_totp",
        sa.Column("account", sa.Text, sa.ForeignKey("console_accounts.id"), primary_key=True),
        sa.Column("seed", sa.Text, nullable=False),
        sa.Column("confirmed_at", sa.Double, nullable=False),
        sa.Column("last_step", sa.Integer, nullable=False),
    )
    op.create_table(
        "console_recovery",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("account", sa.Text, sa.ForeignKey("console_accounts.id"), nullable=False),
    )
    op.create_index("console_recovery_of_account", "console_recovery", ["account"])
    op.create_table(
        "console_passkeys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("account", sa.Text, sa.ForeignKey("console_accounts.id"), nullable=False),
        sa.Column("credential", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("sign_count", sa.BigInteger, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("used_at", sa.Double, nullable=False),
    )
    op.create_index("console_passkeys_of_account", "console_passkeys", ["account"])
    op.create_table(
        "console_steps",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.create_index("console_steps_of_account", "console_steps", ["account"])
    op.create_index("console_steps_by_end", "console_steps", ["expires_at"])
    op.create_table(
        "console_signon",
        sa.Column("customer", sa.Text, sa.ForeignKey("console_customers.id"), primary_key=True),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
    )
