"""Raises what nobody foresaw when the message says so."""

from schemas.events import Status
from services.scanners.contract import Context, Cost, Finding, Spec
from services.scanners.mail import Mail

SPEC = Spec("buggy", "1", Cost.CPU, timeout=5.0)


async def scan(mail: Mail, ctx: Context) -> Finding:  # noqa: ARG001  # the contract's signature
    if mail.header("subject") == "buggy":
        raise ZeroDivisionError("a secret of the message")
    return Finding(status=Status.CLEAN, score=float("nan"), engine="\udc80")
