"""Says who it is: the process, and how often this mail object was scanned there."""

import os

from schemas.events import Evidence, Status
from services.scanners.contract import Context, Cost, Finding, Spec
from services.scanners.mail import Mail

SPEC = Spec("good", "1", Cost.CPU, timeout=5.0)


async def scan(mail: Mail, ctx: Context) -> Finding:  # noqa: ARG001  # the contract's signature
    evidence = (Evidence(code="PID", text=str(os.getpid())), Evidence(code="MAIL", text=str(id(mail))))
    return Finding(status=Status.CLEAN, evidence=evidence, engine=mail.header("subject"))
