"""`gatepost dkim`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option


@click.group()
def dkim() -> None:
    """The keys that outgoing mail is signed with."""


@dkim.command("make-key")
@click.argument("domain")
@data_option
@command
async def dkim_make_key(domain: str, data: Path) -> None:
    """Make an RSA and an Ed25519 key of DOMAIN and print the records to publish; they sign nothing yet."""
    from services.cli import dkim as keys
    from services.cli import site

    await keys.make(site.find(data), data, domain)


@dkim.command("list")
@click.argument("domain")
@data_option
@command
async def dkim_list(domain: str, data: Path) -> None:
    """Print the domain's keys and their records."""
    from services.cli import dkim as keys
    from services.cli import site

    await keys.show(site.find(data), data, domain)


@dkim.command("check")
@click.argument("domain")
@data_option
@command
async def dkim_check(domain: str, data: Path) -> None:
    """Ask DNS for the records of the domain's keys; exit with 1 when one is not as it should be."""
    from services.cli import dkim as keys
    from services.cli import site

    await keys.check(site.find(data), data, domain)


@dkim.command("use")
@click.argument("domain")
@click.argument("name", metavar="gp1|gp2")
@click.option("--unchecked", is_flag=True, help="Without asking DNS for the records first.")
@data_option
@command
async def dkim_use(domain: str, name: str, unchecked: bool, data: Path) -> None:
    """Sign with these keys from now on, once DNS has their records."""
    from services.cli import dkim as keys
    from services.cli import site

    await keys.use(site.find(data), data, domain, name, unchecked=unchecked)


@dkim.command("remove")
@click.argument("domain")
@click.argument("name", metavar="gp1|gp2")
@data_option
@command
async def dkim_remove(domain: str, name: str, data: Path) -> None:
    """Remove keys that no longer sign, for good."""
    from services.cli import dkim as keys
    from services.cli import site

    await keys.remove(site.find(data), data, domain, name)
