"""Takes half a second."""

import asyncio

from schemas.events import Status
from services.scanners.contract import Context, Cost, Finding, Spec
from services.scanners.mail import Mail

SPEC = Spec("slow", "1", Cost.NETWORK, timeout=5.0)


async def scan(mail: Mail, ctx: Context) -> Finding:  # noqa: ARG001  # the contract's signature
    await asyncio.sleep(0.5)
    return Finding(status=Status.CLEAN)
