"""`gatepost tokens`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option


@click.group()
def tokens() -> None:
    """Who may use the quarantine's API."""


@tokens.command("create")
@click.option("--role", required=True, type=click.Choice(["owner", "administrator", "helpdesk", "auditor", "user"]))
@click.option("--customer", default="", help="Whose mail; none for the owner.")
@click.option("--address", "addresses", multiple=True, help="A user's own address; may be repeated.")
@click.option("--label", default="", help="Who holds it: it stands in events.")
@click.option("--days", type=click.FloatRange(0.01, 3650), default=365.0, show_default=True)
@data_option
@command
async def tokens_create(  # the command line's own options
    role: str, customer: str, addresses: tuple[str, ...], label: str, days: float, data: Path
) -> None:
    """Make a token and print it, this once."""
    from services.cli import keep, site

    print(await keep.make_token(site.find(data), role, customer, addresses, label, days))


@tokens.command("list")
@click.option("--customer", default=None)
@data_option
@command
async def tokens_list(customer: str | None, data: Path) -> None:
    """List tokens, without their secrets."""
    from services.cli import keep, site

    await keep.list_tokens(site.find(data), customer)


@tokens.command("revoke")
@click.argument("token")
@data_option
@command
async def tokens_revoke(token: str, data: Path) -> None:
    """Revoke a token by its id."""
    from services.cli import keep, site

    print(await keep.revoke_token(site.find(data), token))
