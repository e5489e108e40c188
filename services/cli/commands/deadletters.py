"""`gatepost deadletters`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option
from services.core.errors import ConfigError


@click.group()
def deadletters() -> None:
    """Records that could not be handled."""


@deadletters.command("list")
@data_option
@click.option("--group", default=None, help="Only those of this consumer group.")
@command
async def deadletters_list(data: Path, group: str | None) -> None:
    """List the dead letters, oldest first."""
    from services.cli import deadletters as letters
    from services.cli import site

    await letters.listing(site.find(data), group)


@deadletters.command("show")
@click.argument("number", type=click.IntRange(0))
@data_option
@command
async def deadletters_show(number: int, data: Path) -> None:
    """Show one, without its content."""
    from services.cli import deadletters as letters
    from services.cli import site

    await letters.show(site.find(data), number)


@deadletters.command("retry")
@click.argument("numbers", type=click.IntRange(0), nargs=-1)
@data_option
@click.option("--group", default=None, help="All of this consumer group.")
@command
async def deadletters_retry(numbers: tuple[int, ...], data: Path, group: str | None) -> None:
    """Publish the originals again, once what was wrong is put right."""
    from services.cli import deadletters as letters
    from services.cli import site

    if not numbers and group is None:
        raise ConfigError("say which: numbers, or --group NAME")
    await letters.retry(site.find(data), numbers, group)
