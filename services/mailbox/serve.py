"""The built-in mailbox as a unit of a process."""

from __future__ import annotations

from services.mailbox.app import run
from services.mailbox.config import MailboxConfig
from services.runtime.config import load
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Take mail until `ctx.stop`."""
    config = load(MailboxConfig, ctx.environ, "GATEPOST_MAILBOX_")
    await run(config, stop=ctx.stop, ready=lambda: ctx.ready("mailbox"), clock=ctx.clock)
