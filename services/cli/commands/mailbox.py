"""`gatepost mailbox`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from services.cli.options import command, data_option
from services.core.errors import ConfigError


@click.command()
@data_option
@click.option("--show", metavar="N", type=int, help="Print message N as it arrived.")
@command
async def mailbox(data: Path, show: int | None) -> None:
    """List what arrived at the built-in mailbox."""
    from services.cli import site, views

    where = site.find(data)
    if not where.mailbox:
        raise ConfigError("this Gatepost relays to the MTAs of its configuration; there is no built-in mailbox")
    await asyncio.to_thread(views.mailbox, Path(where.mailbox), show)
