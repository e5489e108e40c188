"""What the message has in common with others: fingerprints, counted by signals over all customers.

By itself it calls nothing anything. Whether the message is one of a burst is known only later, and elsewhere: policy
asks that when it decides, so that it holds for what has waited as well.
"""

from __future__ import annotations

from typing import Final

from schemas.events import Status
from services.scanners.contract import Context, Cost, Finding, Spec
from services.scanners.facts import gather
from services.scanners.fingerprints import of_mail
from services.scanners.mail import Mail

SPEC: Final = Spec(name="outbreak", version="1", cost=Cost.CPU, timeout=10.0)


async def scan(mail: Mail, ctx: Context) -> Finding:  # noqa: ARG001  # it asks nobody
    """Return CLEAN with the message's fingerprints."""
    return Finding(status=Status.CLEAN, prints=of_mail(gather(mail)), engine="gatepost-outbreak 1 (MinHash 8x5)")
