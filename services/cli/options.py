"""What commands have in common: their options, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click
import uvloop

from services.core.errors import ConfigError, GatepostError

P = ParamSpec("P")

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("gatepost-data"),
    envvar="GATEPOST_DATA",
    show_default=True,
    help="The folder that `gatepost up` keeps everything in.",
)
kafka_option = click.option("--kafka", envvar="GATEPOST_KAFKA", required=True, metavar="HOST:PORT[,…]")


def command(function: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async command: a failure of ours becomes one line on standard error and exit code 1 (2 for bad input)."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            uvloop.run(function(*args, **kwargs))
        except ConfigError as error:
            click.echo(f"gatepost: {error}", err=True)
            sys.exit(2)
        except GatepostError as error:
            click.echo(f"gatepost: {error}", err=True)
            sys.exit(1)
        except BrokenPipeError:
            sys.exit(1)

    return run
