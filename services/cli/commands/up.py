"""`gatepost up`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option
from services.runtime import logs


@click.command()
@data_option
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Customers, domains and policy (YAML). Without it: example.test and a built-in mailbox.",
)
@click.option("--kafka", default="", metavar="HOST:PORT[,…]", help="A Kafka that is already there.")
@click.option("--store", default="", metavar="URL", help="A folder, or s3://BUCKET[/PREFIX].")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to take mail at.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=2525, show_default=True, help="The port to take mail at."
)
@click.option(
    "--mailbox-port",
    type=click.IntRange(1, 65535),
    default=2526,
    show_default=True,
    help="The built-in mailbox's port.",
)
@click.option(
    "--log-level", default="INFO", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), show_default=True
)
@command
async def up(  # the command line's own options
    data: Path,
    config: Path | None,
    kafka: str,
    store: str,
    host: str,
    port: int,
    mailbox_port: int,
    log_level: str,
) -> None:
    """Run everything on this machine: broker, store, every service."""
    from services.cli.up import Options
    from services.cli.up import up as run_all

    logs.set_up(log_level)
    await run_all(Options(data, config, kafka, store, host, port, mailbox_port, log_level))
