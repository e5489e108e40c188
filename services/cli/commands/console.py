"""`gatepost console`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option


@click.group()
def console() -> None:
    """Customers as the console keeps them, and who runs the service."""


@console.command("operator")
@click.argument("address")
@click.option("--language", type=click.Choice(["en", "it"]), default="en", show_default=True)
@click.option("--reset-second-factor", is_flag=True, help="Take the operator's second factors away: they are lost.")
@data_option
@command
async def console_operator(address: str, language: str, *, reset_second_factor: bool, data: Path) -> None:
    """Make ADDRESS an operator of the service, and print the link with which to choose a password."""
    from services.cli import console as work
    from services.cli import site

    print(await work.operator(site.find(data), address, language, reset_factors=reset_second_factor))


@console.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_option
@command
async def console_import(file: Path, data: Path) -> None:
    """Make the customers of FILE what it says, from now on kept by the console; others stay as they are."""
    from services.cli import console as work
    from services.cli import site
    from services.cli.customers_file import read_customers

    specs = read_customers(file)
    print(await work.take_in(site.find(data), specs))


@console.command("export")
@click.argument("customers", nargs=-1)
@data_option
@command
async def console_export(customers: tuple[str, ...], data: Path) -> None:
    """Print CUSTOMERS, or all that the console keeps, as a customers file."""
    from services.cli import console as work
    from services.cli import site

    print(await work.export(site.find(data), customers), end="")
