"""What commands do to a running Gatepost: each is an event that says who and when."""

from __future__ import annotations

import getpass
import os
import time

from schemas.events import Command, QuarantineCommand
from services.cli.site import Site
from services.core.errors import ConfigError
from services.core.ids import is_message_id, message_id
from services.quarantine.index import Index
from services.reaper.recover import recover
from services.runtime.kafka import KafkaBus
from services.runtime.open_store import open_store


async def quarantine(site: Site, action: str, message: str, recipients: tuple[str, ...]) -> str:
    """Publish a release or delete of a held message and return what a person should read.

    Raises ConfigError when nothing of that id is held.
    """
    if not is_message_id(message):
        raise ConfigError(f"{message!r} is no message id; `gatepost quarantine list` shows them")
    index = await Index.open(site.database)
    try:
        held = [row for row in await index.get(message) if row.state == "held"]
    finally:
        await index.close()
    wanted = [row for row in held if not recipients or row.recipient in recipients]
    if not wanted:
        raise ConfigError(f"{message} is not held{' for ' + ', '.join(recipients) if recipients else ''}")
    command = QuarantineCommand(
        command_id=message_id(time.time(), os.urandom),
        id=message,
        customer=wanted[0].customer,
        action=Command(action),
        recipients=tuple(row.recipient for row in wanted),
        by=f"{getpass.getuser()} (command line)",
        at=time.time(),
    )
    bus = KafkaBus(site.kafka, "gatepost-quarantine")
    try:
        await bus.publish([command])
    finally:
        await bus.close()
    done = "released" if command.action is Command.RELEASE else "deleted"
    return f"{message} {done} for {', '.join(command.recipients)}"


async def recover_all(site: Site) -> str:
    """Publish again what the store holds and nothing covers; return what a person should read."""
    before = time.time()
    bus = KafkaBus(site.kafka, "gatepost-recover")
    store = await open_store(site.store, os.environ)
    index = await Index.open(site.database)
    try:
        report = await recover(store, bus, before=before, held=await index.held())
    finally:
        await index.close()
        await store.close()
        await bus.close()
    return (
        f"{report.published} messages published again, {report.covered} wait in queue or quarantine, "
        f"{report.removed} left-over objects removed, {report.unreadable} unreadable objects left alone"
    )
