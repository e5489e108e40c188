"""`gatepost senders`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option


@click.group()
def senders() -> None:
    """Approved and blocked senders."""


@senders.command("list")
@click.option("--customer", default=None)
@data_option
@command
async def senders_list(customer: str | None, data: Path) -> None:
    """List the entries, by customer and whom they are for."""
    from services.cli import senders as lists
    from services.cli import site

    await lists.show(site.find(data), customer)


def _senders_act(name: str, text: str) -> None:
    @senders.command(name, help=text)
    @click.argument("customer")
    @click.argument("sender", metavar="ADDRESS|@DOMAIN")
    @click.option("--for", "whom", default="all", show_default=True, help="all, @domain, or a recipient's address.")
    @data_option
    @command
    async def act(customer: str, sender: str, whom: str, data: Path) -> None:
        from services.cli import senders as lists
        from services.cli import site

        print(await lists.change(site.find(data), name, customer, sender, whom))


_senders_act("approve", "Don't take a sender's mail for spam, when it is authenticated. A virus is one all the same.")

_senders_act("block", "Hold a sender's mail.")

_senders_act("remove", "Take a sender out of the list.")


@senders.command("apply")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_option
@command
async def senders_apply(file: Path, data: Path) -> None:
    """Make the entries for all and for domains those in FILE (YAML); what recipients listed themselves stays."""
    from services.cli import senders as lists
    from services.cli import site

    print(await lists.apply(site.find(data), file))
