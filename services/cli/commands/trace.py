"""`gatepost trace`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from services.cli.options import command, data_option
from services.runtime import logs


@click.command()
@click.argument("wanted", metavar="[ID | rebuild]", default="")
@data_option
@click.option("--customer", default=None, help="Only this customer's; without it everybody's, refusals included.")
@click.option("--recipient", default="", metavar="ADDRESS", help="An address, or @domain.")
@click.option("--sender", default="", metavar="ADDRESS", help="The reverse-path: an address, @domain, or <>.")
@click.option("--subject", default="", metavar="TEXT", help="A part of it.")
@click.option("--client", default="", metavar="IP", help="Who connected.")
@click.option("--state", default="", help="Where it is for a recipient: delivered, deferred, held, bounced, …")
@click.option("--refused/--accepted", default=None, help="Only what was refused at the door, or only what was not.")
@click.option("--since", default="", metavar="WHEN", help="30m, 2h, 7d ago, or a date with or without a time, UTC.")
@click.option("--until", default="", metavar="WHEN")
@click.option("--before", default="", metavar="ID", help="Go on after this line of the page before.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--clear", is_flag=True, help="With rebuild: begin with an empty trace, also for what the topics lost.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@command
async def trace(
    wanted: str,
    data: Path,
    since: str,
    until: str,
    clear: bool,
    as_json: bool,
    **conditions: Any,  # noqa: ANN401  # what Query takes, checked by click
) -> None:
    """Show what happened to a message, or find messages and refusals. ID may also be a Message-ID."""
    from services.cli import site
    from services.cli import trace as traces
    from services.trace.query import Query

    logs.set_up("WARNING")
    where = site.find(data)
    if wanted == "rebuild":
        print(await traces.rebuild(where, clear=clear))
        return
    now = time.time()
    query = Query(since=traces.moment(since, now), until=traces.moment(until, now), **conditions)
    await traces.show(where, wanted, query, as_json=as_json)
