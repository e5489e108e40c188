"""What a trace keeps of an event, and under which key: the same event twice is the same rows. Pure."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from typing import Any, Final

import msgspec

from schemas import wire
from schemas.events import (
    Action,
    Deferred,
    Disposition,
    Envelope,
    Event,
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
from services.core.errors import UnreadableEvent
from services.core.ids import born, is_message_id, message_id
from services.trace.tally import Count, counts

DAY: Final = 86_400  # seconds
AHEAD: Final = 2  # days by which a producer's clock may be ahead of ours
TEXT_MOST: Final = 500  # characters of a text that is searched or listed
_TERMINAL: Final = 1e10  # seconds: more than any time, so that an outcome counts as later than whatever comes after it
_NOBODY: Final = Envelope(reverse_path="", recipients=(), client_ip="")

Row = dict[str, Any]


class Where(enum.StrEnum):
    """Where a message is for a recipient while it has no outcome; after that it is the outcome's own state."""

    RECEIVED = "received"
    QUEUED = "queued"  # policy lets it through
    HELD = "held"  # in quarantine
    DEFERRED = "deferred"
    REFUSED = "refused"  # at the door: it was never a message of ours


STATES: Final = tuple(sorted(str(each) for each in (*Where, *State)))  # where a message may be for a recipient


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """Rows for each of the tables."""

    message: Row | None
    recipients: tuple[Row, ...]
    event: Row
    counts: tuple[Count, ...] = ()  # what it adds to the tallies, when its rows are new

    @property
    def day(self) -> int:
        """The day that all of them lie on."""
        return int(self.event["day"])


def day_of(message: str) -> int:
    """Return the day of a message's id, in days since the epoch."""
    return int(born(message) // DAY)


def refusal_id(rejection: Rejection) -> str:
    """Return the id of a refusal: it sorts by its time among the messages' ids, and the same refusal has the same."""
    digest = hashlib.sha256(wire.encode(rejection)).digest()
    return message_id(rejection.at, lambda octets: digest[:octets])


def facts(event: Event, stamp: float) -> Facts:
    """Return what to keep of the event, which its producer sent at `stamp` (seconds since the epoch).

    Raises UnreadableEvent for an event about an id that is none.
    """
    return dataclasses.replace(_rows(event, stamp), counts=counts(event))


def _rows(event: Event, stamp: float) -> Facts:  # noqa: PLR0911  # one return a kind of event
    match event:
        case Received():
            return _received(event, stamp)
        case Rejection():
            return _rejection(event)
        case Verdict():
            return _facts(event, event.id, event.customer, f"verdict/{event.scanner}/{event.scanned_at:.6f}", stamp)
        case Rescan():
            received = event.received
            bare = msgspec.structs.replace(event, received=_bare(received))
            return _facts(bare, received.id, received.customer, f"rescan/{event.attempt}/{event.asked_at:.6f}", stamp)
        case Disposition():
            return _disposition(event, stamp)
        case Deferred():
            return _deferred(event, stamp)
        case Outcome():
            who = hashlib.sha256("\n".join(sorted(event.recipients)).encode()).hexdigest()[:12]
            step = f"outcome/{event.state.value}/{event.at:.6f}/{who}"
            rank = event.at + _TERMINAL
            return _facts(event, event.id, event.customer, step, stamp, event.recipients, event.state.value, rank)
        case QuarantineCommand() | QuarantineRequest() | Rechecked():
            return _facts(event, event.id, event.customer, _quarantine_step(event), stamp)
    raise TypeError(f"the trace does not keep {type(event).__name__}")


def _quarantine_step(event: QuarantineCommand | QuarantineRequest | Rechecked) -> str:
    match event:
        case QuarantineCommand():
            return f"command/{event.command_id[:100]}"
        case QuarantineRequest():
            return f"request/{event.request_id[:100]}"
        case Rechecked():
            return f"recheck/{event.release[:100]}/{event.scanner}/{event.at:.6f}"


def _received(event: Received, stamp: float) -> Facts:
    step = f"recovered/{stamp:.3f}" if event.recovered else "received"
    envelope = event.envelope
    found = _facts(event, event.id, event.customer, step, stamp, envelope.recipients, Where.RECEIVED, event.received_at)
    row = {
        "day": found.day,
        "id": event.id,
        "customer": event.customer,
        "domain": event.domain,
        "refused": "",
        "at": event.received_at,
        **_sender(envelope.reverse_path),
        "client_ip": envelope.client_ip,
        "helo": envelope.helo,
        "subject": event.subject,
        "subject_key": event.subject.lower(),
        "message_id": event.message_id,
        "size": event.size,
    }
    return dataclasses.replace(found, message=_cleaned(row))


def _rejection(event: Rejection) -> Facts:
    message = refusal_id(event)
    recipient = address_of(event.recipient)
    found = _facts(
        event,
        message,
        event.customer,
        "rejection",
        event.at,
        (recipient,) if recipient else (),
        Where.REFUSED,
        event.at,
    )
    row = {
        "day": found.day,
        "id": message,
        "customer": event.customer,
        "domain": recipient.rpartition("@")[2].lower(),
        "refused": event.reason,
        "at": event.at,
        **_sender(address_of(event.reverse_path)),
        "client_ip": event.client_ip,
        "helo": event.helo,
        "subject": "",
        "subject_key": "",
        "message_id": "",
        "size": 0,
    }
    return dataclasses.replace(found, message=_cleaned(row))


def address_of(path: str) -> str:
    """Return the address in what a client said after MAIL FROM: or RCPT TO:, its parameters left out."""
    text = path.strip()
    if text.startswith("<"):
        return text[1:].partition(">")[0]
    return text.partition(" ")[0]


def _disposition(event: Disposition, stamp: float) -> Facts:
    received = event.received
    bare = msgspec.structs.replace(event, received=_bare(received))
    step = f"disposition/{event.release}/{event.decided_at:.6f}"
    found = _facts(bare, received.id, received.customer, step, stamp)
    where = {Action.DELIVER: Where.QUEUED, Action.QUARANTINE: Where.HELD}
    rows = [
        row
        for branch in event.branches
        if branch.action in where
        for row in _recipients(
            received.id, received.customer, branch.recipients, where[branch.action], event.decided_at
        )
    ]
    return dataclasses.replace(found, recipients=tuple(rows))


def _deferred(event: Deferred, stamp: float) -> Facts:
    disposition = event.disposition
    received = disposition.received
    kept = msgspec.structs.replace(
        disposition, received=_bare(received), branches=(), evidence=(), auth_results=(), scanners=()
    )
    bare = msgspec.structs.replace(event, disposition=kept)
    step = f"deferred/{disposition.release}/{event.branch}/{event.attempts}/{event.next_at:.6f}"
    return _facts(bare, received.id, received.customer, step, stamp, event.recipients, Where.DEFERRED, stamp)


def _facts(
    event: Event,
    message: str,
    customer: str,
    step: str,
    stamp: float,
    recipients: tuple[str, ...] = (),
    state: str = "",
    rank: float = 0.0,
) -> Facts:
    if not is_message_id(message):
        raise UnreadableEvent("an event about no message id")
    row = {
        "day": day_of(message),
        "id": message,
        "step": step,
        "customer": customer,
        "topic": type(event).__name__,
        "at": stamp,
        "event": wire.encode(event).decode(),
    }
    return Facts(None, tuple(_recipients(message, customer, recipients, state, rank)), _cleaned(row, {"event"}))


def _recipients(message: str, customer: str, recipients: tuple[str, ...], state: str, rank: float) -> list[Row]:
    return [
        _cleaned(
            {
                "day": day_of(message),
                "id": message,
                "recipient": recipient,
                "customer": customer,
                "recipient_key": recipient.lower(),
                "state": str(state),
                "rank": rank,
            }
        )
        for recipient in dict.fromkeys(recipients)
    ]


def _sender(reverse_path: str) -> Row:
    key = reverse_path.lower()
    return {"sender": reverse_path, "sender_key": key, "sender_domain": key.rpartition("@")[2]}


def _bare(received: Received) -> Received:
    """Return the event without what its own row has already."""
    return Received(
        id=received.id,
        customer=received.customer,
        domain="",
        key="",
        envelope=_NOBODY,
        size=0,
        received_at=received.received_at,
        server="",
        plan=(),
    )


def _cleaned(row: Row, but: set[str] | frozenset[str] = frozenset()) -> Row:
    # PostgreSQL takes no NUL, and an index entry has no room for a long text.
    return {
        name: value.replace("\0", "")[:TEXT_MOST] if isinstance(value, str) and name not in but else value
        for name, value in row.items()
    }


_KINDS: Final[tuple[type[Event], ...]] = (
    *(Received, Rejection, Verdict, Rescan, Disposition, Deferred, Outcome),
    *(QuarantineCommand, QuarantineRequest, Rechecked),
)
EVENTS: Final = {kind.__name__: kind for kind in _KINDS}


def kept(topic: str, text: str) -> Event:
    """Return the event of a row; raise Undecodable for one that a later version wrote otherwise."""
    return wire.decode(text.encode(), EVENTS[topic])
