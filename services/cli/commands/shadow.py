"""`gatepost shadow`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option


@click.group()
def shadow() -> None:
    """Scanners that look on: what they would have said of live mail."""


@shadow.command("report")
@data_option
@click.option("--since", default="1d", show_default=True, metavar="TIME", help="2h, 3d, or 2026-11-23T18:41 (UTC).")
@click.option("--customer", default=None, help="Only this customer's messages.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a shadow.")
@command
async def shadow_report(data: Path, since: str, customer: str | None, *, as_json: bool) -> None:
    """Compare what shadows said with the live verdicts on the same messages."""
    from services.cli import shadow as shadows
    from services.cli import site

    await shadows.report(site.find(data), since=since, customer=customer, as_json=as_json)


@shadow.command("promote")
@click.argument("name")
@data_option
@click.option("--since", default="1d", show_default=True, metavar="TIME", help="What it must have shown since when.")
@click.option("--least", default=100, show_default=True, type=click.IntRange(1), help="Messages compared.")
@click.option("--anyway", is_flag=True, help="Though it has shown too little, or something speaks against it.")
@click.option(
    "--settings",
    default=None,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The NAME=VALUE file that services are started with.  [default: settings.env of the data folder]",
)
@command
async def shadow_promote(  # the command line's own options
    name: str, data: Path, since: str, least: int, anyway: bool, settings: Path | None
) -> None:
    """Make the live scanner what the shadow is."""
    from services.cli import shadow as shadows

    print(await shadows.promote(data, name, since=since, least=least, anyway=anyway, settings=settings))
