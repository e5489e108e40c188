"""Takes the CPU for ever when the message says so."""

from schemas.events import Status
from services.scanners.contract import Context, Cost, Finding, Spec
from services.scanners.mail import Mail

SPEC = Spec("hang", "1", Cost.CPU, timeout=0.3)


async def scan(mail: Mail, ctx: Context) -> Finding:  # noqa: ARG001  # the contract's signature
    while mail.header("subject") == "hang":
        pass
    return Finding(status=Status.CLEAN)
