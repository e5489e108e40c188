"""`gatepost submission`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from services.cli.options import command, data_option


@click.group()
def submission() -> None:
    """Who may send through Gatepost."""


@submission.command("hash-password")
def submission_hash_password() -> None:
    """Ask for a password and print its hash, for `outbound: accounts:` in the customers file."""
    from services.ingress.submission.passwords import hashed

    password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    print(hashed(password.encode(), os.urandom))


@submission.command("holds")
@click.option("--customer", default=None, help="Only this customer's.")
@data_option
@command
async def submission_holds(data: Path, customer: str | None) -> None:
    """List who may send nothing at present, and why."""
    from services.cli import site
    from services.cli import submission as holds

    await holds.show(site.find(data), customer)


@submission.command("hold")
@click.argument("sender")
@click.option("--why", required=True, metavar="TEXT", help="It stands in the list, and in the quarantine.")
@data_option
@command
async def submission_hold(data: Path, sender: str, why: str) -> None:
    """Let a sender, or an account that signs in, send nothing until the hold is lifted."""
    from services.cli import site
    from services.cli import submission as holds

    print(await holds.hold(site.find(data), sender, why))


@submission.command("lift")
@click.argument("sender")
@click.option("--why", default="", metavar="TEXT")
@click.option(
    "--spare",
    "hours",
    default=24.0,
    show_default=True,
    type=click.FloatRange(0, 720),
    help="Hours in which what it sends is no reason to hold it again.",
)
@data_option
@command
async def submission_lift(data: Path, sender: str, why: str, hours: float) -> None:
    """Let a sender send again."""
    from services.cli import site
    from services.cli import submission as holds

    print(await holds.lift(site.find(data), sender, why, hours))
