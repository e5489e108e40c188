"""Alembic's entry: runs the versions in the transaction that `services.quarantine.migrate` has begun."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="quarantine_version")
with context.begin_transaction():
    context.run_migrations()
