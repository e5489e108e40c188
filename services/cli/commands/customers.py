"""`gatepost customers`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option


@click.group()
def customers() -> None:
    """Who Gatepost takes mail for."""


@customers.command("apply")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_option
@command
async def customers_apply(file: Path, data: Path) -> None:
    """Publish the customers of FILE; every service follows without a restart."""
    from services.cli import apply, site
    from services.cli.customers_file import read_customers

    specs = read_customers(file)  # before anything is asked of the broker: a mistake is told at once
    print(await apply.customers_of(site.find(data).kafka, specs))
