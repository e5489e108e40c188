"""Ends its process when the message says so: at once, and after others have begun."""

import asyncio
import os

from schemas.events import Status
from services.scanners.contract import Context, Cost, Finding, Spec
from services.scanners.mail import Mail

SPEC = Spec("exit", "1", Cost.CPU, timeout=5.0)


async def scan(mail: Mail, ctx: Context) -> Finding:  # noqa: ARG001  # the contract's signature
    if mail.header("subject") == "exit":
        await asyncio.sleep(0.1)
        os._exit(3)
    return Finding(status=Status.CLEAN)
