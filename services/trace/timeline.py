"""What happened to a message, step by step, as a person reads it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from schemas.events import (
    Action,
    Branch,
    Deferred,
    Disposition,
    Event,
    Evidence,
    Outcome,
    QuarantineCommand,
    Received,
    Rejection,
    Rescan,
    State,
    Verdict,
)
from services.trace.decide import address_of, asks

# Of two at the same time, which is first.
_FLOW: Final[tuple[type[Event], ...]] = (
    Received,
    Rejection,
    Verdict,
    Rescan,
    Disposition,
    QuarantineCommand,
    Deferred,
    Outcome,
)
_ORDER: Final = {kind: place for place, kind in enumerate(_FLOW)}
_DID: Final = {Action.DELIVER: "deliver to", Action.QUARANTINE: "hold for", Action.DELETE: "delete for"}
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


def timeline(events: Iterable[tuple[float, Event]]) -> list[Step]:
    """Return the steps, in their order, of events with the time at which their producer sent them."""
    found: list[tuple[float, int, Step]] = []
    for stamp, event in events:
        kind = _ORDER[type(event)]
        found += [(step.at, kind, step) for step in _steps(event, stamp)]
    return [step for _, _, step in sorted(found, key=lambda entry: entry[:2])]


def _steps(event: Event, stamp: float) -> Iterator[Step]:  # one case a kind of event
    match event:
        case Received():
            yield from _received(event, stamp)
        case Rejection():
            yield from _rejection(event)
        case Verdict():
            yield _verdict(event)
        case Rescan():
            yield Step(event.asked_at, f"asks {', '.join(event.scanners)} again, for the {_nth(event.attempt)} time")
        case Disposition():
            yield _disposition(event)
        case Deferred():
            yield _deferred(event, stamp)
        case Outcome():
            yield _outcome(event)
        case QuarantineCommand():
            whom = f" for {', '.join(event.recipients)}" if event.recipients else ""
            yield Step(event.at, f"{asks(event)} asked{whom} by {event.by}")


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
    recipients = tuple(f"RCPT {recipient}" for recipient in envelope.recipients)
    if event.mail_at:
        yield Step(event.mail_at, f"MAIL <{envelope.reverse_path}>", (greeted, *recipients))
    if event.data_at:
        yield Step(event.data_at, "the message begins to come in")
    front = tuple(_evidence(event.front))
    known = () if event.mail_at else (f"from {peer}, {greeted}", f"MAIL <{envelope.reverse_path}>", *recipients)
    yield Step(event.received_at, f"all of it is here, {event.size} octets", (*known, *front))
    yield Step(stamp, f"stored and published; {', '.join(event.plan) or 'no scanner'} must answer")


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
    yield Step(event.at, f"refused: {event.reason}", (*said, f"answer: {event.reply}"))


def _verdict(event: Verdict) -> Step:
    engine = f", {event.engine}" if event.engine else ""
    what = f"{event.scanner} says {event.status.value}, score {event.score:.1f}"
    lines = [f"version {event.version}{engine}; took {event.elapsed_ms:.1f} ms", *_evidence(event.evidence)]
    if event.reason:
        lines.append(f"reason: {event.reason}")
    if event.results:
        lines.append("; ".join(f"{method}={result}" for method, result in event.results))
    return Step(event.scanned_at, what, tuple(lines))


def _disposition(event: Disposition) -> Step:
    if event.released_by:
        what = f"released by {event.released_by}"
    else:
        what = f"decided: {event.status.value}, score {event.score:.1f}"
    return Step(event.decided_at, what, tuple(line for branch in event.branches for line in _branch(branch)))


def _branch(branch: Branch) -> Iterator[str]:
    yield f"{_DID[branch.action]} {', '.join(branch.recipients)}"
    yield f"  rule {branch.rule}: {branch.reason}"
    if branch.redirect_to:
        yield f"  redirected to {branch.redirect_to}"
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
    if event.possible_duplicate:
        lines.append("perhaps twice: a connection was lost after the final dot")
    return Step(event.at, f"{_ENDED[event.state]}: {', '.join(event.recipients)}", tuple(lines))


def _evidence(evidence: Sequence[Evidence]) -> Iterator[str]:
    for piece in evidence:
        yield f"{piece.score:+.1f} {piece.code}: {piece.text}"


def _nth(number: int) -> str:
    endings = {1: "1st", 2: "2nd", 3: "3rd"}
    return endings.get(number, f"{number}th")
