"""Says what it was told of the customer."""

from schemas.events import Evidence, Status
from services.scanners.contract import Context, Cost, Finding, Spec
from services.scanners.mail import Mail

SPEC = Spec("told", "1", Cost.CPU, timeout=5.0)


async def scan(mail: Mail, ctx: Context) -> Finding:  # noqa: ARG001  # the contract's signature
    evidence = tuple(Evidence(code="PERSON", text=person.name) for person in ctx.briefing.persons)
    return Finding(status=Status.CLEAN, evidence=evidence, engine=ctx.briefing.customer)
