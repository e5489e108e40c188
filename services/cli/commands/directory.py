"""`gatepost directory`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option


@click.group()
def directory() -> None:
    """The recipients that exist, from LDAP and from tables."""


@directory.command("sync")
@data_option
@click.option("--customer", default=None, help="Only this customer's.")
@click.option("--force", is_flag=True, help="Also when it takes more addresses away than `drop_percent` allows.")
@click.option("--full", "whole", is_flag=True, help="Read everything, not only what changed.")
@command
async def directory_sync(data: Path, customer: str | None, force: bool, whole: bool) -> None:
    """Read the customers' LDAP directories now."""
    from services.cli import directory as directories
    from services.cli import site

    await directories.sync(site.find(data), customer, force=force, whole=whole)


@directory.command("status")
@data_option
@command
async def directory_status(data: Path) -> None:
    """Show how each source of recipients is doing, and which fail since when."""
    from services.cli import directory as directories
    from services.cli import site

    await directories.status(site.find(data))


@directory.command("import-csv")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_option
@click.option("--customer", required=True, help="Whose recipients they are.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--force", is_flag=True, help="Also when it takes more addresses away than --drop-percent.")
@click.option("--drop-percent", type=click.FloatRange(0, 100), default=20.0, show_default=True)
@command
async def directory_import(
    file: Path, data: Path, customer: str, dry_run: bool, force: bool, drop_percent: float
) -> None:
    """Make the addresses in FILE, one a row, the ones that were imported for a customer."""
    from services.cli import directory as directories
    from services.cli import site

    where = site.find(data)
    await directories.import_csv(where, customer, file, drop_share=drop_percent / 100, force=force, dry_run=dry_run)
