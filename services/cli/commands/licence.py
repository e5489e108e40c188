"""`gatepost licence`: keys that are checked without asking anybody."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command


@click.group()
def licence() -> None:
    """Registration keys of customers."""


@licence.command("make-key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@command
async def licence_make_key(file: Path) -> None:
    """Make the key that licences are signed with in FILE, and print its public half (GATEPOST_LICENCE_PUBLIC_KEY)."""
    from services.cli import licence as work

    print(work.make_key(file))


@licence.command("issue")
@click.argument("customer")
@click.option("--key", required=True, type=click.Path(path_type=Path, dir_okay=False), help="What `make-key` made.")
@click.option("--users", required=True, type=click.IntRange(1, 10_000_000))
@click.option("--days", type=click.FloatRange(1, 3_660), default=365.0, show_default=True)
@command
async def licence_issue(customer: str, key: Path, users: int, days: float) -> None:
    """Print a registration key for CUSTOMER."""
    from services.cli import licence as work

    print(work.issue(key, customer, users, days))


@licence.command("show")
@click.argument("licence")
@click.option("--public-key", required=True, envvar="GATEPOST_LICENCE_PUBLIC_KEY")
@command
async def licence_show(licence: str, public_key: str) -> None:
    """Print what a registration key gives."""
    from services.cli import licence as work

    print(work.show(licence, public_key))
