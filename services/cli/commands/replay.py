"""`gatepost replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from services.cli.behind import behind
from services.cli.options import command, data_option
from services.runtime import logs


@click.command()
@data_option
@click.option("--from", "since", required=True, metavar="TIME", help="2h, 3d, or 2026-11-23T18:41 (UTC).")
@click.option("--to", "until", default="now", show_default=True, metavar="TIME")
@click.option("--customer", default=None, help="Only this customer's messages.")
@click.option("--message", default=None, metavar="ID", help="Only this message.")
@click.option(
    "--scanner", "scanners", multiple=True, metavar="NAME[@FOLDER]", help="A scanner, with a folder of rules."
)
@click.option(
    "--policy", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Customers (YAML) with other rules."
)
@click.option("--diff", is_flag=True, help="Print each difference, not only how many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a difference, and one for the whole.")
@behind
@command
async def replay(data: Path, **options: Any) -> None:  # noqa: ANN401 - click's values, by name
    """Run past messages through another scanner or policy, and say who would have been treated otherwise.

    It changes nothing anywhere: nothing is delivered, bounced, released or published.
    """
    from services.cli import replay as replays
    from services.cli import site

    logs.set_up("WARNING")
    await replays.replay(site.find(data), replays.Options(**options))
