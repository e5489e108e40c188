"""What the quarantine holds, and which events follow when a hold ends. Pure: values in, values out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from schemas import wire
from schemas.events import Action, Branch, Command, Disposition, Event, Outcome
from schemas.events import State as Ending
from services.core.heading import printable
from services.quarantine.tables import State

DAY: Final = 86_400.0  # seconds
DAYS_MOST: Final = 30.0
TEXT_MOST: Final = 500  # characters of any other text in the index

ENDED_BY: Final = {Command.RELEASE: State.RELEASED, Command.DELETE: State.DELETED}
_OUTCOMES: Final = {
    State.DELETED: Ending.QUARANTINE_DELETED,
    State.EXPIRING: Ending.QUARANTINE_EXPIRED,
    State.EXPIRED: Ending.QUARANTINE_EXPIRED,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """One recipient of a held message, with what a person needs to judge it."""

    id: str
    customer: str
    domain: str
    recipient: str
    reverse_path: str
    subject: str
    status: str
    score: float
    rule: str
    reason: str
    size: int  # octets
    received_at: float
    held_at: float
    expires_at: float
    state: State
    ended_at: float  # 0 while it is held
    ended_by: str
    command: str  # the id of what ended it
    branch: str  # the Branch that holds it as JSON, without recipients
    key: str
    total: int  # recipients of the message in all


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """Holds that have ended, and the dispositions of those that were released, by message id."""

    rows: Sequence[Held]
    dispositions: Mapping[str, Disposition]


def holds(disposition: Disposition, subject: str, now: float, days: float) -> list[Held]:
    """Return one Held for each recipient of the disposition's quarantine branches; none when it holds nobody."""
    received = disposition.received
    reverse_path = printable(received.envelope.reverse_path, TEXT_MOST)
    total = len(set(received.envelope.recipients))
    found: list[Held] = []
    for branch in disposition.branches:
        if branch.action is not Action.QUARANTINE:
            continue
        rule, reason = printable(branch.rule, TEXT_MOST), printable(branch.reason, TEXT_MOST)
        kept = wire.encode(msgspec.structs.replace(branch, recipients=())).decode()
        found += [
            Held(
                id=received.id,
                customer=received.customer,
                domain=received.domain,
                recipient=recipient,
                reverse_path=reverse_path,
                subject=subject,
                status=disposition.status.value,
                score=disposition.score,
                rule=rule,
                reason=reason,
                size=received.size,
                received_at=received.received_at,
                held_at=now,
                expires_at=now + min(days, DAYS_MOST) * DAY,
                state=State.HELD,
                ended_at=0.0,
                ended_by="",
                command="",
                branch=kept,
                key=received.key,
                total=total,
            )
            for recipient in dict.fromkeys(branch.recipients)
        ]
    return found


def events(ended: Ended) -> list[Event]:
    """Return what follows from holds that have ended: the same rows make the same events, however often.

    Those that one command released become one Disposition with a DELIVER branch for each branch they were held by;
    the others become one Outcome a message and ending.
    """
    groups: dict[tuple[str, str, State], list[Held]] = {}
    for row in sorted(ended.rows, key=lambda row: (row.id, row.branch, row.recipient)):
        groups.setdefault((row.id, row.command, row.state), []).append(row)
    return [
        _release(rows, ended.dispositions[message]) if state is State.RELEASED else _outcome(rows, _OUTCOMES[state])
        for (message, _, state), rows in groups.items()
    ]


def _release(rows: Sequence[Held], disposition: Disposition) -> Disposition:
    first = rows[0]
    recipients: dict[str, list[str]] = {}
    for row in rows:
        recipients.setdefault(row.branch, []).append(row.recipient)
    branches = tuple(
        msgspec.structs.replace(
            wire.decode(text.encode(), Branch),
            recipients=tuple(names),
            action=Action.DELIVER,
            reason=f"released by {first.ended_by}",
        )
        for text, names in recipients.items()
    )
    return msgspec.structs.replace(
        disposition,
        branches=branches,
        decided_at=first.ended_at,
        released_by=first.ended_by,
        release=first.command,
    )


def _outcome(rows: Sequence[Held], state: Ending) -> Outcome:
    first = rows[0]
    return Outcome(
        id=first.id,
        customer=first.customer,
        key=first.key,
        recipients=tuple(row.recipient for row in rows),
        total=first.total,
        state=state,
        at=first.ended_at,
        received_at=first.received_at,
    )
