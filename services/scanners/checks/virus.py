"""Viruses: clamd where there is one, and always our own rules, over every octet that some reader might open."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Final

from schemas.events import Evidence, Status
from services.core.errors import EngineUnavailable
from services.scanners.contents import Content
from services.scanners.contract import Context, Cost, Finding, Match, Port, Spec, TooBig, VirusEngine
from services.scanners.decide import worst
from services.scanners.mail import Mail
from services.scanners.text import clean

SPEC: Final = Spec(
    name="virus",
    version="2",
    cost=Cost.CPU,
    timeout=30.0,
    ports=frozenset({Port.SIGNATURES, Port.CLAMD}),
)

_RULES_WITHIN: Final = 20.0  # seconds of CPU for all that is in one message
_BREATHE_AFTER: Final = 0.05  # seconds after which other scans of the worker have their turn
_AT_ONCE: Final = 4  # streams of one message that clamd gets side by side
_LIMIT_SCORE: Final = 6.0  # what we couldn't look into is suspicious
_FORM_SCORES: Final = {
    "ARCHIVE_LIMIT": _LIMIT_SCORE,
    "ARCHIVE_DISAGREES": _LIMIT_SCORE,
    "ARCHIVE_ENCRYPTED": 3.0,
    "ARCHIVE_UNREAD": 3.0,
    "ENCODED_LIMIT": 3.0,
    "ARCHIVE_BROKEN": 2.0,
}
_DEFECT_SCORES: Final = {  # of the form of the message; others weigh nothing
    "MIME_PARTIAL": _LIMIT_SCORE,
    "MIME_ELSEWHERE": 4.0,
    "READERS_DISAGREE": 3.0,
    "MIME_TYPE_TWICE": 2.0,
    "MIME_ENCODING_TWICE": 2.0,
    "HEADER_BARE_CR": 2.0,
}
_SUSPICIOUS_FORMS: Final = frozenset({"ARCHIVE_LIMIT", "ARCHIVE_DISAGREES"})
_AS_IT_STANDS: Final = frozenset({"", "7bit", "8bit", "binary", "quoted-printable"})
_CLAMD_OPENS: Final = frozenset({"zip", "ooxml", "jar", "odf", "gz", "bz2", "tar", "ole", "msi"})
_NO_VIRUS = re.compile(r"Heuristics\.(?:Limits|Encrypted|Phishing|Broken|OLE2|Structured)\b|PUA\.", re.IGNORECASE)
_NO_VIRUS_SCORE: Final = 7.0

_Hit = tuple[Match, str]  # with the name of the file


async def scan(mail: Mail, ctx: Context) -> Finding:
    """Return VIRUS or SUSPICIOUS with the rules and parts that hit. A silent clamd makes it unavailable, not clean."""
    elsewhere = asyncio.create_task(_clamd(mail, ctx), name=f"clamd-{mail.id}")
    try:
        hits = await _own(mail, ctx)
        problem = None
        engine = ""
        try:
            found, engine = await elsewhere
            hits.extend(found)
        except EngineUnavailable as error:
            problem = error
    finally:
        elsewhere.cancel()
        await asyncio.gather(elsewhere, return_exceptions=True)
    if problem is not None and not any(match.status is Status.VIRUS for match, _ in hits):
        raise problem  # what our own rules did find must not stand for what clamd would have found
    return _finding(mail, hits, "; ".join(filter(None, (engine, ctx.signatures.version))))


async def _own(mail: Mail, ctx: Context) -> list[_Hit]:
    started = turn = ctx.clock.monotonic()
    hits: dict[str, _Hit] = {}
    for name, data in _octets(mail):
        now = ctx.clock.monotonic()
        if now - turn > _BREATHE_AFTER:
            await asyncio.sleep(0)
            turn = ctx.clock.monotonic()
        for match in ctx.signatures.match(data, _RULES_WITHIN - (now - started)):
            if match.rule not in hits or hits[match.rule][1] == "message":
                hits[match.rule] = (match, name)  # the part says more than the whole
    return list(hits.values())


def _octets(mail: Mail) -> Iterator[tuple[str, bytes]]:
    yield "message", mail.raw
    for content in mail.contents:
        yield content.name, content.data


# --- clamd


async def _clamd(mail: Mail, ctx: Context) -> tuple[list[_Hit], str]:
    clamd = ctx.clamd
    if clamd is None:
        return [], ""
    hits: dict[str, _Hit] = {}
    places = asyncio.Semaphore(_AT_ONCE)

    async def ask(name: str, data: bytes) -> None:
        async with places:
            try:
                found = await clamd.scan(data)
            except TooBig:
                if clamd.hold_oversize:
                    raise
                match = Match("CLAMD_TOO_BIG", Status.CLEAN, 1.0, "longer than clamd takes: only our own rules saw it")
                hits[match.rule] = (match, name)
                return
        if found is not None and (found not in hits or hits[found][1] == "message"):
            hits[found] = (_named(found), name)

    version = await clamd.version()
    try:
        async with asyncio.TaskGroup() as tasks:
            for name, data in for_clamd(mail, clamd):
                await places.acquire()  # here and not only in the task: what waits is not unpacked yet
                places.release()
                tasks.create_task(ask(name, data))
    except* EngineUnavailable as group:
        problem = _first(group)
        if not any(match.status is Status.VIRUS for match, _ in hits.values()):
            raise problem from None
    return list(hits.values()), version


def _first(group: BaseExceptionGroup[EngineUnavailable]) -> EngineUnavailable:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, EngineUnavailable) else EngineUnavailable(type(error).__name__)


def for_clamd(mail: Mail, clamd: VirusEngine) -> Iterator[tuple[str, bytes]]:
    """Yield name and octets of all that clamd is to see, each once: the message, and what its own reader may miss.

    A message longer than it takes is not sent whole; then it sees every file of it by itself.
    """
    whole = len(mail.raw) <= clamd.max_size
    if whole:
        yield "message", mail.raw
    sent: set[int] = set()
    for content in mail.contents:
        if content.data and (not whole or _missed(mail, content)) and hash(content.data) not in sent:
            sent.add(hash(content.data))
            yield content.name, content.data


def _missed(mail: Mail, content: Content) -> bool:
    """Return whether clamd, given the message or what is around the file, may fail to come upon it.

    What it has seen already costs it next to nothing: it knows files again by their hash.
    """
    if content.hidden:
        return True
    if content.part is not None:
        plain = content.declared.startswith("text/") and content.part.encoding in _AS_IT_STANDS
        return not plain or bool(mail.defects)
    return content.within not in _CLAMD_OPENS


def _named(found: str) -> Match:
    """Return the match for a name of clamd's; its heuristics say that something is odd, not that it is a virus."""
    if _NO_VIRUS.match(found):
        return Match(found, Status.SUSPICIOUS, _NO_VIRUS_SCORE, "found by clamd")
    return Match(found, Status.VIRUS, 100.0, "found by clamd")


# --- what is said of it


def _finding(mail: Mail, hits: list[_Hit], engine: str) -> Finding:
    statuses = [match.status for match, _ in hits]
    evidence = []
    for match, name in hits:
        text = clean(f"{match.rule} in {name}" + (f": {match.detail}" if match.detail else ""))
        evidence.append(Evidence(code=_code(match), text=text, score=match.score))
    for code, text in mail.contents.budget.met.items():
        evidence.append(Evidence(code=code, text=text, score=_FORM_SCORES[code]))
        if code in _SUSPICIOUS_FORMS:
            statuses.append(Status.SUSPICIOUS)
    limits = {defect.code for defect in mail.defects if defect.limit}
    for item in mail.defect_evidence():
        score = _LIMIT_SCORE if item.code in limits else _DEFECT_SCORES.get(item.code, 0.0)
        evidence.append(Evidence(code=item.code, text=item.text, score=score))
        if score >= _LIMIT_SCORE:
            statuses.append(Status.SUSPICIOUS)
    evidence.sort(key=lambda item: -item.score)
    return Finding(
        status=worst(statuses),
        score=max((item.score for item in evidence), default=0.0),
        evidence=tuple(evidence),
        engine=engine,
    )


def _code(match: Match) -> str:
    if match.status is Status.CLEAN:
        return match.rule
    return "VIRUS" if match.status is Status.VIRUS else "SUSPICIOUS_FILE"
