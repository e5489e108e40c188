"""`gatepost signals`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option


@click.command()
@data_option
@command
async def signals(data: Path) -> None:
    """List who harvests addresses or sends too much at present."""
    from services.cli import site, views

    await views.signals(site.find(data))
