"""Runs the migrations in the transaction that `services.runtime.migrate` has begun."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="console_version")
with context.begin_transaction():
    context.run_migrations()
