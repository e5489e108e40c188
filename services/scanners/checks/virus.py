"""Viruses: clamd where there is one, and always our own rules over every octet that some reader might open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from schemas.events import Evidence, Status
from services.core.errors import EngineUnavailable
from services.scanners.budget import Budget
from services.scanners.contract import Context, Cost, Finding, Match, Port, Spec
from services.scanners.decide import worst
from services.scanners.mail import Mail
from services.scanners.text import clean

SPEC: Final = Spec(
    name="virus",
    version="1",
    cost=Cost.CPU,
    timeout=30.0,
    ports=frozenset({Port.SIGNATURES, Port.CLAMD}),
)

_RULES_WITHIN: Final = 20.0  # seconds of CPU for all that is in one message
_BREATHE_AFTER: Final = 0.05  # seconds after which other scans of the worker have their turn
_LIMIT_SCORE: Final = 6.0  # what we couldn't look into is suspicious
_FORM_SCORES: Final = {
    "ARCHIVE_LIMIT": _LIMIT_SCORE,
    "ARCHIVE_DISAGREES": _LIMIT_SCORE,
    "ARCHIVE_ENCRYPTED": 3.0,
    "ARCHIVE_UNREAD": 3.0,
    "ARCHIVE_BROKEN": 2.0,
    "ENCODED_LIMIT": 3.0,
}
_SUSPICIOUS_FORMS: Final = frozenset({"ARCHIVE_LIMIT", "ARCHIVE_DISAGREES"})


async def scan(mail: Mail, ctx: Context) -> Finding:
    """Return VIRUS or SUSPICIOUS with the rules and parts that hit. A silent clamd makes it unavailable, not clean."""
    elsewhere = asyncio.create_task(_clamd(mail, ctx), name=f"clamd-{mail.id}")
    try:
        hits, budget = await _own(mail, ctx)
        problem = None
        try:
            found, engine = await elsewhere
        except EngineUnavailable as error:
            found, engine, problem = None, "", error
    finally:
        elsewhere.cancel()
        await asyncio.gather(elsewhere, return_exceptions=True)
    if found is not None:
        hits.append((Match(found, Status.VIRUS, 100.0), "clamd"))
    if problem is not None and not any(match.status is Status.VIRUS for match, _ in hits):
        raise problem  # what our own rules did find must not stand for what clamd would have found
    return _finding(mail, hits, budget, "; ".join(filter(None, (engine, ctx.signatures.version))))


async def _clamd(mail: Mail, ctx: Context) -> tuple[str | None, str]:
    if ctx.clamd is None:
        return None, ""
    found, engine = await asyncio.gather(ctx.clamd.scan(mail.raw), ctx.clamd.version())
    return found, engine


async def _own(mail: Mail, ctx: Context) -> tuple[list[tuple[Match, str]], Budget]:
    started = turn = ctx.clock.monotonic()
    hits: dict[str, tuple[Match, str]] = {}
    for name, data in _octets(mail):
        now = ctx.clock.monotonic()
        if now - turn > _BREATHE_AFTER:
            await asyncio.sleep(0)
            turn = ctx.clock.monotonic()
        for match in ctx.signatures.match(data, _RULES_WITHIN - (now - started)):
            if match.rule not in hits or hits[match.rule][1] == "message":
                hits[match.rule] = (match, name)  # the part says more than the whole
    return list(hits.values()), mail.contents.budget


def _octets(mail: Mail) -> Iterator[tuple[str, bytes]]:
    yield "message", mail.raw
    for content in mail.contents:
        yield content.name, content.data


def _finding(mail: Mail, hits: list[tuple[Match, str]], budget: Budget, engine: str) -> Finding:
    statuses = [match.status for match, _ in hits]
    evidence = []
    for match, name in hits:
        text = clean(f"{match.rule} in {name}" + (f": {match.detail}" if match.detail else ""))
        evidence.append(Evidence(code=_code(match), text=text, score=match.score))
    for code, text in budget.met.items():
        evidence.append(Evidence(code=code, text=text, score=_FORM_SCORES[code]))
        if code in _SUSPICIOUS_FORMS:
            statuses.append(Status.SUSPICIOUS)
    limits = {defect.code for defect in mail.defects if defect.limit}
    for item in mail.defect_evidence():
        limited = item.code in limits
        evidence.append(Evidence(code=item.code, text=item.text, score=_LIMIT_SCORE if limited else 0.0))
        if limited:
            statuses.append(Status.SUSPICIOUS)
    evidence.sort(key=lambda item: -item.score)
    return Finding(
        status=worst(statuses),
        score=max((item.score for item in evidence), default=0.0),
        evidence=tuple(evidence),
        engine=engine,
    )


def _code(match: Match) -> str:
    return "VIRUS" if match.status is Status.VIRUS else "SUSPICIOUS_FILE"
