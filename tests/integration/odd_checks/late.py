"""Takes twice as long as it may when the message says so."""

import asyncio

from schemas.events import Status
from services.scanners.contract import Context, Cost, Finding, Spec
from services.scanners.mail import Mail

SPEC = Spec("late", "1", Cost.NETWORK, timeout=0.3)


async def scan(mail: Mail, ctx: Context) -> Finding:  # noqa: ARG001  # the contract's signature
    if mail.header("subject") == "late":
        await asyncio.sleep(SPEC.timeout * 2)
    return Finding(status=Status.CLEAN)
