"""Wiring of the built-in mailbox, and the view of it for `gatepost mailbox`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.core.clock import Clock, SystemClock
from services.mailbox.config import MailboxConfig
from services.mailbox.maildir import Item, listing
from services.mailbox.server import Mailbox

__all__ = ["Item", "listing", "run"]


async def run(
    config: MailboxConfig, *, stop: asyncio.Event, ready: Callable[[], None], clock: Clock | None = None
) -> None:
    """Take mail until `stop` is set. `ready` is called once mail can come in; raises StartError before that."""
    mailbox = Mailbox(config, clock or SystemClock())
    await mailbox.start()
    try:
        ready()
        await stop.wait()
    finally:
        await mailbox.close()
