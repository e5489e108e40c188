"""`gatepost topics`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option


@click.group(invoke_without_command=True)
@data_option
@click.option("--partitions", is_flag=True, help="A line for each partition.")
@click.pass_context
def topics(ctx: click.Context, data: Path, partitions: bool) -> None:
    """List the topics, and how far each group is behind."""
    if ctx.invoked_subcommand is None:
        _topics(data, partitions)


@command
async def _topics(data: Path, partitions: bool) -> None:
    from services.cli import site
    from services.cli import topics as topic_views

    await topic_views.listing(site.find(data), partitions=partitions)


@topics.command("tail")
@click.argument("topic")
@data_option
@click.option("--customer", default=None, help="Only this customer's events.")
@click.option("--since", default=None, metavar="TIME", help="2h, 3d, or 2026-11-23T18:41 (UTC).")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Without --since.")
@click.option("--follow", is_flag=True, help="Go on with what comes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an event.")
@command
async def topics_tail(  # the command line's own options
    topic: str, data: Path, customer: str | None, since: str | None, limit: int, follow: bool, as_json: bool
) -> None:
    """Print a topic's events readably, oldest first."""
    from services.cli import site
    from services.cli import topics as topic_views

    await topic_views.tail(
        site.find(data), topic, customer=customer, since=since, limit=limit, follow=follow, as_json=as_json
    )
