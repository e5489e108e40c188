"""`gatepost recover`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option
from services.runtime import logs


@click.command("recover")
@data_option
@command
async def recover_command(data: Path) -> None:
    """Publish again what the store holds and no outcome covers, as after the loss of the broker's data."""
    from services.cli import act as acts
    from services.cli import site

    logs.set_up("WARNING")
    print(await acts.recover_all(site.find(data)))
