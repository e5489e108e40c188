"""What happened to a message, step by step, and where it stands, as a person reads it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from schemas.events import (
    Act,
    Action,
    Branch,
    Command,
    Deferred,
    Disposition,
    Event,
    Evidence,
    Outcome,
    QuarantineCommand,
    QuarantineRequest,
    Received,
    Rechecked,
    Rejection,
    Rescan,
    State,
    Verdict,
)
from services.core.direction import outbound
from services.trace.decide import address_of

Stamped = tuple[float, Event]  # with the time at which its producer sent it, seconds since the epoch

# Of two at the same time, which is first.
_FLOW: Final[tuple[type[Event], ...]] = (
    Received,
    Rejection,
    Verdict,
    QuarantineCommand,
    QuarantineRequest,
    Rescan,
    Rechecked,
    Disposition,
    Deferred,
    Outcome,
)
_ORDER: Final = {kind: place for place, kind in enumerate(_FLOW)}
_DID: Final = {Action.DELIVER: "deliver to", Action.QUARANTINE: "hold for", Action.DELETE: "delete for"}
_ASKED: Final = {Command.RELEASE: "release", Command.DELETE: "deletion"}
_WANTED: Final = {
    Act.RELEASE_TO: "a copy",
    Act.REPORT_CLEAN: "reported as wanted",
    Act.REPORT_SPAM: "reported as spam",
    Act.RAISE: "known to be worse since",
}
_ENDED: Final = {
    State.DELIVERED: "delivered",
    State.DELETED: "deleted by policy",
    State.BOUNCED: "refused for good",
    State.EXPIRED: "expired in the queue",
    State.QUARANTINE_DELETED: "deleted from quarantine",
    State.QUARANTINE_EXPIRED: "expired in quarantine",
    State.WITHDRAWN: "withdrawn: the sender was told 451, so it was never accepted",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened. `lines` say more of it."""

    at: float  # seconds since the epoch
    what: str
    lines: tuple[str, ...] = ()


def timeline(events: Iterable[Stamped]) -> list[Step]:
    """Return the steps in their order."""
    found: list[tuple[float, int, Step]] = []
    for stamp, event in events:
        kind = _ORDER[type(event)]
        found += [(step.at, kind, step) for step in _steps(event, stamp)]
    return [step for _, _, step in sorted(found, key=lambda entry: entry[:2])]


def standing(events: Iterable[Stamped]) -> dict[str, str]:
    """Return, for each recipient that anything is known of, why it is where it is: the rule, or the MTA's answer.

    An outcome has the last word, whatever came after it; else it is what was said last.
    """
    said: dict[str, tuple[bool, float, str]] = {}
    for stamp, event in events:
        for recipients, ended, at, why in _said(event, stamp):
            for recipient in recipients:
                if recipient not in said or (ended, at) >= said[recipient][:2]:
                    said[recipient] = (ended, at, why)
    return {recipient: why for recipient, (_, _, why) in said.items()}


def _said(event: Event, stamp: float) -> Iterator[tuple[tuple[str, ...], bool, float, str]]:
    match event:
        case Outcome() if event.host or event.reply:  # else the rule that was said before is the reason
            yield event.recipients, True, event.at, ": ".join(filter(None, (event.host, event.reply)))
        case Deferred():
            where = f"attempt {event.attempts}" + (f" at {event.host}" if event.host else "")
            what = f"{where}: {event.reply}" if event.attempts else event.reply or "its destination is down"
            yield event.recipients, False, event.tried_at or stamp, what
        case Disposition():
            for branch in event.branches:
                yield branch.recipients, False, event.decided_at, f"rule {branch.rule}: {branch.reason}"
        case Rejection() if event.recipient:
            yield (address_of(event.recipient),), True, event.at, f"{event.reason}: {event.reply}"


def _steps(event: Event, stamp: float) -> Iterator[Step]:  # one case a kind of event
    match event:
        case Received():
            yield from _received(event, stamp)
        case Rejection():
            yield from _rejection(event)
        case Verdict():
            yield _verdict(event)
        case Rescan():
            yield _rescan(event)
        case Disposition():
            yield _disposition(event, stamp)
        case Deferred():
            yield _deferred(event, stamp)
        case Outcome():
            yield _outcome(event)
        case QuarantineCommand() | QuarantineRequest() | Rechecked():
            yield _in_quarantine(event)


def _whom(recipients: Sequence[str]) -> str:
    return f" for {', '.join(recipients)}" if recipients else ""


def _received(event: Received, stamp: float) -> Iterator[Step]:
    envelope = event.envelope
    if event.recovered:
        yield Step(stamp, "published again from the store")
        return
    if event.own or event.bounce_of:
        what = event.own or f"notification of what became of {event.bounce_of}"
        yield Step(event.received_at, f"written by us: {what}", tuple(f"for {name}" for name in envelope.recipients))
        return
    peer = f"{envelope.client_ip}:{envelope.client_port}" if envelope.client_port else envelope.client_ip
    tls = envelope.tls or "no TLS"
    if event.connected_at:
        yield Step(event.connected_at, f"connected from {peer}", (f"to {event.server}",))
    greeted = f"{'EHLO' if envelope.esmtp else 'HELO'} {envelope.helo}, {tls}"
    recipients = tuple(f"RCPT <{recipient}>" for recipient in envelope.recipients)
    if event.mail_at:
        yield Step(event.mail_at, f"MAIL <{envelope.reverse_path}>", (greeted, *recipients))
    if event.data_at:
        yield Step(event.data_at, "the message begins to come in")
    front = tuple(_evidence(event.front))
    if outbound(event):
        front = (f"goes out, handed in by {event.submitter}", *front)
    known = () if event.mail_at else (f"from {peer}, {greeted}", f"MAIL <{envelope.reverse_path}>", *recipients)
    yield Step(event.received_at, f"all of it is here, {event.size} octets", (*known, *front))
    yield Step(stamp, "stored and published", (f"must answer: {', '.join(event.plan) or 'no scanner'}",))


def _rejection(event: Rejection) -> Iterator[Step]:
    peer = f"{event.client_ip}:{event.client_port}" if event.client_port else event.client_ip
    if event.connected_at:
        yield Step(event.connected_at, f"connected from {peer}")
    said = []
    if event.helo:
        said.append(f"EHLO {event.helo}")
    if event.reverse_path:
        said.append(f"MAIL <{address_of(event.reverse_path)}>")
    if event.recipient:
        said.append(f"RCPT <{address_of(event.recipient)}>")
    if not said:
        said.append("before it had said anything that we read")
    yield Step(event.at, f"refused: {event.reason}", (*said, *_evidence(event.evidence), f"answer: {event.reply}"))


def _verdict(event: Verdict) -> Step:
    engine = f", {event.engine}" if event.engine else ""
    what = f"{event.scanner} says {event.status.value}, score {event.score:.1f}"
    lines = [f"version {event.version}{engine}; took {event.elapsed_ms:.1f} ms", *_evidence(event.evidence)]
    if event.reason:
        lines.append(f"reason: {event.reason}")
    if event.results:
        lines.append("; ".join(f"{method}={result}" for method, result in event.results))
    return Step(event.scanned_at, what, tuple(lines))


def _disposition(event: Disposition, stamp: float) -> Step:
    lines = tuple(line for branch in event.branches for line in _branch(branch))
    if event.released_by:  # decided when it was asked; what counts is when the second look let it go
        return Step(max(stamp, event.decided_at), f"released by {event.released_by}", lines)
    return Step(event.decided_at, f"decided: {event.status.value}, score {event.score:.1f}", lines)


def _branch(branch: Branch) -> Iterator[str]:
    did = "refuse to send to" if branch.refuse else _DID[branch.action]
    yield f"{did} {', '.join(branch.recipients)}"
    yield f"  rule {branch.rule}: {branch.reason}"
    if branch.redirect_to:
        yield f"  redirected to {branch.redirect_to}"
    if branch.encrypt:
        yield "  only over TLS that is verified"
    if branch.stamp:
        yield f"  stamped {branch.stamp}"
    if branch.strip:
        yield f"  takes out attachments: {', '.join(branch.strip)}"
    for address in branch.bcc:
        yield f"  copy to {address}"
    for address in branch.notify:
        yield f"  told {address}"
    if branch.tag_subject:
        yield f"  subject tagged {branch.tag_subject}"
    for name, value in branch.add_headers:
        yield f"  adds {name}: {value}"


def _deferred(event: Deferred, stamp: float) -> Step:
    at = event.tried_at or stamp
    where = f" at {event.host}" if event.host else ""
    if event.attempts:
        what = f"attempt {event.attempts}{where} put off for {', '.join(event.recipients)}"
    else:
        what = f"waits for {', '.join(event.recipients)}"
    lines = [f"answer: {event.reply}"] if event.reply else []
    lines.append(f"next attempt {'at once' if event.next_at <= at else f'in {event.next_at - at:.0f} s'}")
    if event.possible_duplicate:
        lines.append("it may have been taken all the same: the connection was lost after the final dot")
    return Step(at, what, tuple(lines))


def _outcome(event: Outcome) -> Step:
    lines = []
    if event.host:
        lines.append(f"attempt {event.attempts} at {event.host}, {event.tls or 'no TLS'}")
    if event.reply:
        lines.append(f"answer: {event.reply}")
    if event.removed:
        names = ", ".join(name or "(no name)" for name in event.removed)
        lines.append(f"without its attachments {names}")
    if event.possible_duplicate:
        lines.append("perhaps twice: a connection was lost after the final dot")
    if event.bounce:
        lines.append(f"the sender is told by {event.bounce}")
    return Step(event.at, f"{_ENDED[event.state]}: {', '.join(event.recipients)}", tuple(lines))


def _rescan(event: Rescan) -> Step:
    scanners = ", ".join(event.scanners)
    if event.release:
        return Step(event.asked_at, f"{scanners} must look once more before the release")
    return Step(event.asked_at, f"asks {scanners} again, for the {_nth(event.attempt)} time")


def _in_quarantine(event: QuarantineCommand | QuarantineRequest | Rechecked) -> Step:
    if isinstance(event, QuarantineCommand):
        return Step(event.at, f"{_ASKED[event.action]} asked{_whom(event.recipients)} by {event.by}")
    if isinstance(event, Rechecked):
        return Step(
            event.at,
            f"{event.scanner} says {event.status.value}, on a second look",
            (event.text,) if event.text else (),
        )
    what = _WANTED[event.act] + (f" to {event.to}" if event.to else "")
    if event.status is not None:
        what += f": {event.status.value}"
    return Step(event.at, f"{what}{_whom(event.recipients)}, by {event.by}", (event.note,) if event.note else ())


def _evidence(evidence: Sequence[Evidence]) -> Iterator[str]:
    """Yield a line a piece, the scores and the codes below each other."""
    width = max((len(piece.code) for piece in evidence), default=0)
    scored = any(piece.score for piece in evidence)  # what the front door refuses for has no score
    for piece in evidence:
        score = f"{piece.score:+6.1f}  " if scored else ""
        yield f"{score}{piece.code:{width}}  {piece.text}"


def _nth(number: int) -> str:
    endings = {1: "1st", 2: "2nd", 3: "3rd"}
    return endings.get(number, f"{number}th")
