"""Indexes for searches over all customers, and for the few messages that have not simply been delivered."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"

_OF_ALL = {
    "trace_messages_domain": "domain",
    "trace_messages_sender_of_all": "sender_key",
    "trace_messages_sender_domain_of_all": "sender_domain",
    "trace_messages_client_of_all": "client_ip",
}
_UNUSUAL = "state NOT IN ('delivered', 'refused')"


def upgrade() -> None:
    """Make them. PostgreSQL lets nobody write to the trace meanwhile, which mail doesn't wait for."""
    for name, column in _OF_ALL.items():
        op.create_index(name, "trace_messages", [column, "day", "id"])
    op.drop_index("trace_recipients_recipient", "trace_recipients")
    op.create_index("trace_recipients_recipient", "trace_recipients", ["recipient_key", "day", "id"])
    unusual = text(_UNUSUAL)
    op.create_index(
        "trace_recipients_state",
        "trace_recipients",
        ["state", "day", "id", "customer"],
        postgresql_where=unusual,
        sqlite_where=unusual,
    )


def downgrade() -> None:
    """Take them away."""
    op.drop_index("trace_recipients_state", "trace_recipients")
    op.drop_index("trace_recipients_recipient", "trace_recipients")
    op.create_index("trace_recipients_recipient", "trace_recipients", ["recipient_key", "customer", "day", "id"])
    for name in _OF_ALL:
        op.drop_index(name, "trace_messages")
