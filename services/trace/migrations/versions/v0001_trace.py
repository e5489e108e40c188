"""Messages and refusals, their recipients, and every event about them; on PostgreSQL a partition a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BY_DAY = "RANGE (day)"


def upgrade() -> None:
    """Make the tables; the service makes the partitions."""
    op.create_table(
        "trace_messages",
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("refused", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("sender_key", sa.Text, nullable=False),
        sa.Column("sender_domain", sa.Text, nullable=False),
        sa.Column("client_ip", sa.Text, nullable=False),
        sa.Column("helo", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("subject_key", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        postgresql_partition_by=BY_DAY,
    )
    op.create_index("trace_messages_customer", "trace_messages", ["customer", "day", "id"])
    op.create_index("trace_messages_sender", "trace_messages", ["sender_key", "customer", "day", "id"])
    op.create_index("trace_messages_sender_domain", "trace_messages", ["sender_domain", "customer", "day", "id"])
    op.create_index("trace_messages_client", "trace_messages", ["client_ip", "customer", "day", "id"])
    op.create_index("trace_messages_message_id", "trace_messages", ["message_id", "customer"])
    op.create_table(
        "trace_recipients",
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("recipient", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("recipient_key", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("rank", sa.Double, nullable=False),
        postgresql_partition_by=BY_DAY,
    )
    op.create_index("trace_recipients_recipient", "trace_recipients", ["recipient_key", "customer", "day", "id"])
    op.create_table(
        "trace_events",
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("step", sa.Text, primary_key=True),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        postgresql_partition_by=BY_DAY,
    )


def downgrade() -> None:
    """Take them away; `gatepost trace rebuild` fills them again from the topics."""
    for table in ("trace_events", "trace_recipients", "trace_messages"):
        op.drop_table(table)
