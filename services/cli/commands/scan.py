"""`gatepost scan`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command


@click.command()
@click.argument("files", type=click.Path(path_type=Path, dir_okay=False), nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The customers file: its domains and whom it protects are looked for.",
)
@click.option("--customer", default=None, help="Which customer of that file; the first when it isn't given.")
@click.option(
    "--outgoing", is_flag=True, help="As the customer's own mail, on its way out: its data-loss rules are tried."
)
@command
async def scan(
    files: tuple[Path, ...], as_json: bool, config: Path | None, customer: str | None, outgoing: bool
) -> None:
    """Run every scanner on message files and explain what they say."""
    from services.cli import views
    from services.cli.customers_file import read_briefing

    await views.scanned(files, read_briefing(config, customer), as_json=as_json, outgoing=outgoing)
