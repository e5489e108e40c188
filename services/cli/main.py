"""The `gatepost` command. What a command is told is in `commands`, what it does in the rooms that it calls."""

from __future__ import annotations

import os
import sys

import click

from services.cli.commands.cluster import await_command, probe, provision, run
from services.cli.commands.console import console
from services.cli.commands.customers import customers
from services.cli.commands.deadletters import deadletters
from services.cli.commands.directory import directory
from services.cli.commands.dkim import dkim
from services.cli.commands.ledger import ledger
from services.cli.commands.licence import licence
from services.cli.commands.mailbox import mailbox
from services.cli.commands.quarantine import quarantine
from services.cli.commands.queue import queue
from services.cli.commands.recover import recover_command
from services.cli.commands.replay import replay
from services.cli.commands.scan import scan
from services.cli.commands.senders import senders
from services.cli.commands.shadow import shadow
from services.cli.commands.signals import signals
from services.cli.commands.submission import submission
from services.cli.commands.tokens import tokens
from services.cli.commands.topics import topics
from services.cli.commands.trace import trace
from services.cli.commands.train import train
from services.cli.commands.up import up
from services.core.errors import ConfigError
from services.runtime import cut


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gatepost")
def gatepost() -> None:
    """Gatepost: mail comes in, what is bad stays out, and nothing is lost."""
    try:
        cut.apply(os.environ)
    except ConfigError as error:
        click.echo(f"gatepost: {error}", err=True)
        sys.exit(2)


gatepost.add_command(await_command)
gatepost.add_command(probe)
gatepost.add_command(provision)
gatepost.add_command(run)
gatepost.add_command(console)
gatepost.add_command(customers)
gatepost.add_command(deadletters)
gatepost.add_command(directory)
gatepost.add_command(dkim)
gatepost.add_command(ledger)
gatepost.add_command(licence)
gatepost.add_command(mailbox)
gatepost.add_command(quarantine)
gatepost.add_command(queue)
gatepost.add_command(recover_command)
gatepost.add_command(replay)
gatepost.add_command(scan)
gatepost.add_command(senders)
gatepost.add_command(shadow)
gatepost.add_command(signals)
gatepost.add_command(submission)
gatepost.add_command(tokens)
gatepost.add_command(topics)
gatepost.add_command(trace)
gatepost.add_command(train)
gatepost.add_command(up)


def main() -> None:
    """The entry point."""
    gatepost(prog_name="gatepost")
