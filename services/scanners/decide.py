"""From findings to verdicts: pure, and the last gate before an event."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from schemas.events import Evidence, Received, Rechecked, Rescan, Status, Verdict
from services.core.contacts import Acquaintance
from services.core.direction import INBOUND_ONLY, OUTBOUND_ONLY, outbound
from services.core.sent import SentMail
from services.scanners.contract import Finding, Reason, Spec, unavailable
from services.scanners.text import LIMIT, clean

MAX_EVIDENCE: Final = 50
MAX_RESULTS: Final = 20
FIRST_CONTACT: Final = 0.2
FIRST_CONTACT_ODD: Final = 1.0
REPLY: Final = -1.0
BACKSCATTER: Final = 3.0
BOUNCE_UNKNOWN: Final = 1.0
MAX_PRINTS: Final = 40
MAX_FILES: Final = 60
SPAM_FROM: Final = 15.0
SUSPICIOUS_FROM: Final = 6.0
_SCORE_LIMIT: Final = 10_000.0
_SEVERITY: Final = (Status.CLEAN, Status.SUSPICIOUS, Status.SPAM, Status.PHISHING, Status.VIRUS)
_ANSWERS: Final = frozenset({"REPLY", "BOUNCE_OF_OURS"})  # whoever it is from, it was asked for
# Waiting or trying again by itself won't help these: somebody should look at the message.
_TO_DEAD_LETTERS: Final = frozenset({Reason.CRASH.value, Reason.TIME.value, Reason.STORE.value})


def wanted(event: Received | Rescan, scanner: str) -> Received | None:
    """Return the message that this scanner is asked to scan, None when it isn't asked."""
    if isinstance(event, Rescan):
        return event.received if scanner in event.scanners else None
    if event.own or (outbound(event) and scanner in INBOUND_ONLY):
        return None
    # A door of before this scanner may have it in the plan of what comes in: then it is waited for.
    skipped = not outbound(event) and scanner in OUTBOUND_ONLY and scanner not in event.plan
    return None if skipped else event


def rechecked(spec: Spec, asked: Rescan, finding: Finding, now: float) -> Rechecked:
    """Return the answer to the quarantine about a message that it is to release."""
    tidied = tidy(finding)
    return Rechecked(
        id=asked.received.id,
        customer=asked.received.customer,
        release=asked.release,
        scanner=spec.name,
        status=tidied.status,
        text=tidied.evidence[0].text if tidied.evidence else tidied.reason,
        at=now,
    )


def verdict(spec: Spec, received: Received, finding: Finding, *, origin: int, now: float) -> Verdict:
    """Return the event for a finding. `origin` is the offset of the Received event in its partition."""
    tidied = tidy(finding)
    return Verdict(
        id=received.id,
        customer=received.customer,
        scanner=spec.name,
        version=spec.version,
        status=tidied.status,
        score=tidied.score,
        evidence=tidied.evidence,
        engine=tidied.engine,
        elapsed_ms=tidied.elapsed_ms,
        scanned_at=now,
        origin=origin,
        results=tidied.results,
        reason=tidied.reason,
        contact=tidied.contact,
        prints=tidied.prints,
        files=tidied.files,
        packed=tidied.packed,
    )


def tidy(finding: Finding) -> Finding:
    """Return the finding fit for the wire: valid Unicode, bounded lengths, finite numbers, a reason if unavailable."""
    reason = finding.reason if finding.status is Status.UNAVAILABLE else ""
    return msgspec.structs.replace(
        finding,
        score=_bounded(finding.score),
        evidence=tuple(
            Evidence(code=clean(item.code, 40), text=clean(item.text), score=_bounded(item.score))
            for item in finding.evidence[:MAX_EVIDENCE]
        ),
        engine=clean(finding.engine),
        results=tuple((clean(method, 20), clean(text, 3 * LIMIT)) for method, text in finding.results[:MAX_RESULTS]),
        prints=tuple(clean(item, 40) for item in finding.prints[:MAX_PRINTS]),
        files=tuple(clean(item, 40) for item in finding.files[:MAX_FILES]),
        packed=tuple(clean(item, 40) for item in finding.packed[:MAX_FILES]),
        reason=reason or (Reason.ENGINE.value if finding.status is Status.UNAVAILABLE else ""),
    )


def corresponding(finding: Finding, received: Received, sent: SentMail, now: float) -> Finding:
    """Return the finding with how the message stands to what the customer sent; as it is where that can't be told."""
    # Without readers it is another scanner's, or of a customer that doesn't send through us.
    evidence = _answered(finding, received, sent, now) if finding.readers else None
    if evidence is None:
        return finding
    return msgspec.structs.replace(
        finding, score=finding.score + evidence.score, evidence=(*finding.evidence, evidence)
    )


def _answered(finding: Finding, received: Received, sent: SentMail, now: float) -> Evidence | None:
    """Return what the Message-IDs say that the message names: nobody guesses one, though who read the mail knows it.

    A bounce that names none of ours is evidence at most: a customer may send by other ways too.
    """
    customer = received.customer
    known = sent.knows(customer, finding.refers, now)
    if received.envelope.reverse_path:
        if known and sent.wrote(customer, finding.pairs, now):
            return Evidence(code="REPLY", text="answers a message that its recipient sent to this sender", score=REPLY)
        text = "answers a message that was sent from here, to somebody else"
        return Evidence(code="REPLY_OF_ANOTHER", text=text) if known else None
    if known:
        return Evidence(code="BOUNCE_OF_OURS", text="returns a message that was sent from here")
    if sent.silent(customer, finding.readers, now):
        text = "a bounce to somebody who is not known to have sent anything"
        return Evidence(code="BACKSCATTER", text=text, score=BACKSCATTER)
    text = "a bounce of nothing that is known to have been sent"
    return Evidence(code="BOUNCE_UNKNOWN", text=text, score=BOUNCE_UNKNOWN) if sent.told(customer) else None


def acquainted(finding: Finding, acquaintance: Acquaintance, *, note: bool) -> Finding:
    """Return the finding with what is known of the correspondent; `note`: the topic should hear of him.

    That somebody writes for the first time is no fault. It weighs where something else is odd as well.
    """
    kept = finding if note else msgspec.structs.replace(finding, contact="")
    if acquaintance is not Acquaintance.NEW or any(each.code in _ANSWERS for each in finding.evidence):
        return kept
    score = FIRST_CONTACT if finding.score <= 0 else FIRST_CONTACT_ODD
    evidence = Evidence(
        code="FIRST_CONTACT", text="nobody here is known to have had mail from this sender", score=score
    )
    return msgspec.structs.replace(kept, score=kept.score + score, evidence=(*kept.evidence, evidence))


def gone() -> Finding:
    """Return the finding for a message whose object isn't there any more."""
    return Finding(status=Status.GONE)


def too_big(spec: Spec, size: int) -> Finding | None:
    """Return the finding for a message that the scanner doesn't accept, None when it does."""
    if size <= spec.max_size:
        return None
    return unavailable(Reason.TOO_BIG, f"{size} octets, {spec.max_size} are the most")


def needs_a_person(finding: Finding) -> bool:
    """Return whether the message belongs among the dead letters as well: it kills workers, or can't be read."""
    return finding.status is Status.UNAVAILABLE and finding.reason in _TO_DEAD_LETTERS


def by_score(score: float) -> Status:
    """Return what a content score means."""
    if score >= SPAM_FROM:
        return Status.SPAM
    return Status.SUSPICIOUS if score >= SUSPICIOUS_FROM else Status.CLEAN


def worst(statuses: Sequence[Status]) -> Status:
    """Return the most severe of the statuses that say something of the message; CLEAN when there is none."""
    return max(statuses, key=_SEVERITY.index, default=Status.CLEAN)


def _bounded(score: float) -> float:
    return max(-_SCORE_LIMIT, min(_SCORE_LIMIT, score)) if math.isfinite(score) else 0.0
