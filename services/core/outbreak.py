"""What makes a burst of near duplicates an outbreak, and what follows for a message that is one of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from schemas.events import Disposition, Evidence, Signal, Status, Verdict
from services.core.signals import Kind, Signals

SCANNER: Final = "outbreak"
BAD: Final = frozenset({Status.SPAM, Status.PHISHING, Status.VIRUS})
NO_PRINT: Final = frozenset({"link"})  # what stands among the prints and is none
SUSPICIOUS_SCORE, SPAM_SCORE = 5.0, 15.0
_FILES: Final = ("x", "m", "s")  # how prints of files begin


def counts(disposition: Disposition) -> bool:
    """Return whether the message may be one of an outbreak at all.

    Volume alone is no reason: a mailing list and a newsletter are sent in thousands, and signed. So a message counts
    that another scanner found suspicious or worse; or that brings a link or a file from a sender whom nothing vouches
    for. What this very scanner said doesn't count, or a burst would keep itself alive. Neither does what couldn't be
    told of the sender because of DNS.
    """
    if disposition.released_by or disposition.received.recovered or not disposition.prints:
        return False
    if any(status in {*BAD, Status.SUSPICIOUS} for status in others(disposition)):
        return True
    carries = any(found in NO_PRINT or found.startswith(_FILES) for found in disposition.prints)
    return carries and unvouched(disposition.auth_results)


def flagged(disposition: Disposition) -> bool:
    """Return whether another scanner was sure."""
    return any(status in BAD for status in others(disposition))


def others(disposition: Disposition) -> Iterable[Status]:
    """Yield what each scanner but this one said."""
    for said in disposition.scanners:
        name, _, status = said.rpartition("=")
        if name.partition("/")[0] != SCANNER:
            yield Status(status)


def unvouched(results: Iterable[tuple[str, str]]) -> bool:
    """Return whether SPF, DKIM and DMARC were asked and none speaks for the sender (RFC 8601 section 2.7)."""
    words = {(method, text.partition(" ")[0]) for method, text in results}
    asked = [result for method, result in words if method in {"spf", "dkim", "dmarc"}]
    return bool(asked) and not any(result in {"pass", "temperror"} for result in asked)


def vouched(results: Iterable[tuple[str, str]]) -> bool:
    """Return whether DMARC says that the message comes from the domain that its reader sees."""
    return any(method == "dmarc" and text.partition(" ")[0] == "pass" for method, text in results)


def found_in(
    prints: Iterable[str], by_dmarc: bool, signals: Signals, now: float
) -> tuple[Status | None, Signal] | None:
    """Return what a burst makes of a message and the burst itself, None when it is of none.

    A burst of which others were sure about at least every second message makes it spam, and any other suspicious. The
    status is None for a sender that DMARC vouches for: campaigns copy the text of those whose customers they are after.
    Not so when it sends a file of a burst that others were sure of.
    """
    told = [(found, signal) for found in prints if (signal := signals.active(Kind.OUTBREAK, found, now)) is not None]
    if not told:
        return None
    sure = [(found, signal) for found, signal in told if 2 * signal.flagged >= signal.count]
    worst = max((signal for _, signal in sure or told), key=lambda signal: signal.count)
    if by_dmarc and not any(found.startswith(_FILES) for found, _ in sure):
        return None, worst
    return Status.SPAM if sure else Status.SUSPICIOUS, worst


def judged(verdicts: Mapping[str, Verdict], signals: Signals, now: float) -> dict[str, Verdict]:
    """Return the verdicts by scanner, the one with the fingerprints made worse when the message is one of a burst."""
    answers = dict(verdicts)
    own = answers.get(SCANNER)
    if own is None or own.status is Status.UNAVAILABLE:
        return answers
    by_dmarc = vouched(pair for verdict in answers.values() for pair in verdict.results)
    answer = found_in(own.prints, by_dmarc, signals, now)
    if answer is None:
        return answers
    status, signal = answer
    if status is None:
        evidence = Evidence(code="OUTBREAK_LIKE", text="resembles a burst of messages; DMARC vouches for the sender")
        answers[SCANNER] = msgspec.structs.replace(own, evidence=(*own.evidence, evidence))
        return answers
    score = SPAM_SCORE if status is Status.SPAM else SUSPICIOUS_SCORE
    answers[SCANNER] = msgspec.structs.replace(
        own,
        status=status,
        score=own.score + score,
        evidence=(*own.evidence, Evidence(code="OUTBREAK", text=told_of(signal), score=score)),
    )
    return answers


def told_of(signal: Signal) -> str:
    """Return what a person should know of a burst."""
    minutes = round(signal.window_s / 60)
    return f"one of {signal.count} alike within {minutes} min, {signal.flagged} of them found bad"
