"""`gatepost quarantine`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from services.cli.options import command, data_option
from services.core.errors import ConfigError


@click.group()
def quarantine() -> None:
    """What policy holds."""


@quarantine.command("list")
@data_option
@click.option("--customer", default=None)
@click.option("--all", "everything", is_flag=True, help="What was released, deleted or expired as well.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@command
async def quarantine_list(data: Path, customer: str | None, everything: bool, limit: int) -> None:
    """List held messages, newest first."""
    from services.cli import site, views

    await views.held_list(site.find(data), customer, None if everything else "held", limit)


@quarantine.command("show")
@click.argument("message")
@data_option
@command
async def quarantine_show(message: str, data: Path) -> None:
    """Show why a message is held."""
    from services.cli import site, views

    await views.held_show(site.find(data), message)


def _quarantine_act(name: str, text: str) -> None:
    @quarantine.command(name, help=text)
    @click.argument("message")
    @click.option("--recipient", "recipients", multiple=True, help="Only for this recipient; may be repeated.")
    @data_option
    @command
    async def act(message: str, recipients: tuple[str, ...], data: Path) -> None:
        from services.cli import act as acts
        from services.cli import site

        print(await acts.quarantine(site.find(data), name, message, recipients))


_quarantine_act("release", "Deliver a held message: the original bytes, to its recipients.")

_quarantine_act("delete", "Delete a held message for good.")


@quarantine.command("release-to")
@click.argument("message")
@click.argument("address")
@data_option
@command
async def quarantine_release_to(message: str, address: str, data: Path) -> None:
    """Send a copy to somebody of the organisation, as an attachment; the message stays held."""
    from services.cli import keep, site

    print(await keep.release_to(site.find(data), message, address))


@quarantine.command("report")
@click.argument("message")
@click.argument("what", type=click.Choice(["clean", "spam"]))
@data_option
@command
async def quarantine_report(message: str, what: str, data: Path) -> None:
    """Say that a message is clean, or spam."""
    from services.cli import keep, site

    print(await keep.report(site.find(data), message, what))


@quarantine.command("export")
@click.argument("customer")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@data_option
@command
async def quarantine_export(customer: str, folder: Path, data: Path) -> None:
    """Write what people reported into FOLDER/ham and FOLDER/spam, for a customer that agreed to training."""
    from services.cli import keep, site

    print(await keep.export_reported(site.find(data), data, customer, folder))


@quarantine.command("rebuild")
@data_option
@command
async def quarantine_rebuild(data: Path) -> None:
    """Make the index again from the topics, and the customers' keys from the store, after the database was lost."""
    from services.cli import keep, site

    print(await keep.rebuild_index(site.find(data), data))


@quarantine.command("destroy-key")
@click.argument("customer")
@click.option("--yes", is_flag=True, help="Without a question: everything that is held for CUSTOMER is lost.")
@data_option
@command
async def quarantine_destroy_key(customer: str, yes: bool, data: Path) -> None:
    """Destroy CUSTOMER's keys: what is held for it can never be read again, and is deleted."""
    from services.cli import keep, site

    if not yes and not click.confirm(f"All mail that is held for {customer} is lost. Go on?"):
        raise ConfigError("nothing was destroyed")
    print(await keep.destroy_key(site.find(data), data, customer))


@quarantine.command("make-key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@command
async def quarantine_make_key(file: Path) -> None:
    """Make a master key in FILE, for GATEPOST_QUARANTINE_KEY_FILE; one that is there stays."""
    from services.runtime.secret_key import make_key

    if not make_key(file):
        raise ConfigError(f"{file} is there already, and mail may be encrypted with it")
    print(f"{file} made; without it, what is held can't be read: keep a copy")


@quarantine.command("public-key")
@data_option
@command
async def quarantine_public_key(data: Path) -> None:
    """Print the key that releases are checked with: GATEPOST_RELEASE_PUBLIC_KEY of delivery."""
    from services.quarantine.master import MasterConfig
    from services.runtime.config import load

    environ = {"GATEPOST_QUARANTINE_KEY_FILE": str(data / "quarantine.key"), **os.environ}
    print(load(MasterConfig, environ).secrets().public)
