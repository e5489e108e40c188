"""`gatepost signals`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option


@click.group(invoke_without_command=True)
@data_option
@click.pass_context
def signals(ctx: click.Context, data: Path) -> None:
    """List who harvests addresses or sends too much at present."""
    if ctx.invoked_subcommand is None:
        _signals(data)


@command
async def _signals(data: Path) -> None:
    from services.cli import site, views

    await views.signals(site.find(data))


@signals.command("rebuild")
@data_option
@command
async def signals_rebuild(data: Path) -> None:
    """Throw away what signals has counted; its next start counts it again. It must not run meanwhile."""
    from services.cli import site
    from services.signals.rebuild import rebuild

    ahead = await rebuild(site.find(data).kafka)
    click.echo(f"its tables are empty; the next start counts {ahead} events again")
