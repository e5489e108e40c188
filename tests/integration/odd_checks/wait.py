"""Waits for ever when the message says so, and leaves the CPU alone."""

import asyncio

from schemas.events import Status
from services.scanners.contract import Context, Cost, Finding, Spec
from services.scanners.mail import Mail

SPEC = Spec("wait", "1", Cost.NETWORK, timeout=0.3)


async def scan(mail: Mail, ctx: Context) -> Finding:  # noqa: ARG001  # the contract's signature
    if mail.header("subject") == "wait":
        await asyncio.Event().wait()
    return Finding(status=Status.CLEAN)
