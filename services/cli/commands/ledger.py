"""`gatepost ledger`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from services.cli.options import command, data_option
from services.runtime import logs


@click.command()
@data_option
@click.option("--since", default="", metavar="WHEN", help="Only messages accepted since: 2h, 7d ago, or a date, UTC.")
@click.option("--objects", is_flag=True, help="Compare the objects of the store as well.")
@click.option(
    "--young",
    default=120.0,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Objects younger than this may be ahead of their events; 120.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@command
async def ledger(data: Path, since: str, objects: bool, young: float, as_json: bool) -> None:
    """Prove that every accepted message has ended or is in flight, and name each that is neither. Exit code 1: some."""
    from services.cli import ledger as ledgers
    from services.cli import site
    from services.cli.trace import moment

    logs.set_up("WARNING")
    where = site.find(data)
    from_ = moment(since, time.time())
    if not await ledgers.ledger(where, since=from_, objects=objects, young=young, as_json=as_json):
        sys.exit(1)
