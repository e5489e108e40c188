"""What a cluster runs: `gatepost run`, `provision`, `await` and `probe`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from services.cli.options import command, kafka_option
from services.runtime import logs


@click.command()
@click.argument("names", metavar="SERVICE...", nargs=-1, required=True)
def run(names: tuple[str, ...]) -> None:
    """Run services in this process, configured by GATEPOST_* variables."""
    from services.cli.units import UNITS, unit
    from services.runtime.host import main as host

    unknown = [name for name in names if name not in UNITS]
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}; there are {', '.join(UNITS)}", param_hint="SERVICE")
    sys.exit(host({name: unit(name) for name in names}))


@click.command()
@kafka_option
@click.option(
    "--customers", type=click.Path(path_type=Path, dir_okay=False), help="Apply the customers of this file as well."
)
@click.option("--within", default=0.0, metavar="SECONDS", help="How long to wait for what isn't there yet.")
@command
async def provision(kafka: str, customers: Path | None, within: float) -> None:
    """Make topics, the bucket of GATEPOST_STORE, the tables of GATEPOST_DATABASE and the plan. Safe to run again."""
    from services.cli import provision as provisioning

    logs.set_up("INFO")
    print(await provisioning.provision(kafka, os.environ, customers, within))


@click.command("await")
@kafka_option
@click.option("--within", default=600.0, show_default=True, metavar="SECONDS")
@command
async def await_command(kafka: str, within: float) -> None:
    """Wait until all that `provision` makes is there."""
    from services.cli import provision as provisioning

    logs.set_up("INFO")
    print(await provisioning.wait(kafka, within))


@click.command()
@kafka_option
@click.option("--smtp", required=True, metavar="HOST:PORT", help="The front door.")
@click.option("--to", "recipient", required=True, metavar="ADDRESS", help="Who gets the clean message.")
@click.option("--within", default=120.0, show_default=True, metavar="SECONDS")
@command
async def probe(kafka: str, smtp: str, recipient: str, within: float) -> None:
    """Send a clean message and EICAR through the service, and see that one arrives and the other doesn't."""
    from services.cli import probe as probes

    logs.set_up("ERROR")
    print(await probes.probe(kafka, smtp, recipient, within))
