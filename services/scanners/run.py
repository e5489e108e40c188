"""One scanner on one mail: its time-out, its failures, its elapsed time. A worker and `gatepost scan` share it."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from services.core.errors import EngineUnavailable
from services.scanners import decide
from services.scanners.contract import Context, Finding, Reason, Scanner, TooBig, unavailable
from services.scanners.mail import Mail

log = logging.getLogger("gatepost.scanners")


async def run(scanner: Scanner, mail: Mail, ctx: Context, patience: float = 1.0) -> Finding:
    """Return the scanner's finding, or one that says why there is none: too-big, time or engine.

    `patience` makes its time-out longer, for a process that is held up on purpose.
    """
    spec = scanner.SPEC
    refused = decide.too_big(spec, len(mail.raw))
    if refused is not None:
        return refused
    within = spec.timeout * patience
    started = ctx.clock.monotonic()
    try:
        async with asyncio.timeout(within):
            finding = await scanner.scan(mail, ctx)
    except TimeoutError:
        finding = unavailable(Reason.TIME, f"no answer within {within:.0f} s")
    except TooBig as error:
        finding = unavailable(Reason.TOO_BIG, str(error))
    except EngineUnavailable as error:
        finding = unavailable(Reason.ENGINE, str(error))
    elapsed = (ctx.clock.monotonic() - started) * 1000
    if finding.status == "unavailable":
        reason = finding.evidence[0].text if finding.evidence else ""
        log.warning("id=%s scanner=%s event=unavailable reason=%s text=%s", mail.id, spec.name, finding.reason, reason)
    return decide.tidy(msgspec.structs.replace(finding, elapsed_ms=round(elapsed, 2)))
