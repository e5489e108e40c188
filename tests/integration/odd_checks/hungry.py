"""Takes all the memory it can get when the message says so."""

from schemas.events import Status
from services.scanners.contract import Context, Cost, Finding, Spec
from services.scanners.mail import Mail

SPEC = Spec("hungry", "1", Cost.CPU, timeout=20.0)


async def scan(mail: Mail, ctx: Context) -> Finding:  # noqa: ARG001  # the contract's signature
    held = []
    while mail.header("subject") == "hungry":
        held.append(bytearray(50_000_000))
    return Finding(status=Status.CLEAN)
