"""What the quarantine holds, and which events follow when a hold ends. Pure: values in, values out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from schemas import wire
from schemas.events import (
    Action,
    Branch,
    Disposition,
    Event,
    Exemption,
    HeldFor,
    Hold,
    Outcome,
    Status,
)
from schemas.events import State as Ending
from services.core.heading import printable, subject_of, text_of
from services.core.sealed import is_quarantines, released_key
from services.quarantine.tables import WAITING, State

DAY: Final = 86_400.0  # seconds
DAYS_MOST: Final = 30.0
TEXT_MOST: Final = 500  # characters of any other text in the index

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
    key: str  # of the sealed object; of the plain one when that could not be read
    total: int  # recipients of the message in all
    header_from: str = ""
    policy: str = ""  # the version of the rules that held it
    note: str = ""  # why a release was stopped, or waits
    reported: str = ""
    final: str = ""  # the outcome of a release

    @property
    def waits(self) -> int:
        """1 while it has no outcome, 0 after that."""
        return int(self.state in WAITING)

    @property
    def sender(self) -> str:
        """What a search for senders looks at."""
        return f"{self.reverse_path} {self.header_from}".strip().casefold()

    @property
    def words(self) -> str:
        """What a search for subjects looks at."""
        return self.subject.casefold()


Exempt = Callable[[Held], Exemption]


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """Holds that have ended, and the dispositions of those that were released, by message id."""

    rows: Sequence[Held]
    dispositions: Mapping[str, Disposition]


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """What is read out of a message when it is held."""

    subject: str = ""
    header_from: str = ""


def holds(
    disposition: Disposition, shown: Shown, now: float, days: float, *, key: str = "", policy: str = ""
) -> list[Held]:
    """Return one Held for each recipient of the disposition's quarantine branches; none when it holds nobody.

    `key` is that of the sealed object, `policy` the version of the rules.
    """
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
                subject=shown.subject,
                header_from=shown.header_from,
                policy=policy,
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
                key=key or received.key,
                total=total,
            )
            for recipient in dict.fromkeys(branch.recipients)
        ]
    return found


def events(ended: Ended, exempt: Exempt | None = None) -> list[Event]:
    """Return what follows from holds that have ended: the same rows make the same events, however often.

    Those that one command released become one Disposition with a DELIVER branch for each branch they were held by;
    the others become one Outcome a message and ending. `exempt` signs what lets a recipient's message through.
    """
    groups: dict[tuple[str, str, State], list[Held]] = {}
    for row in sorted(ended.rows, key=lambda row: (row.id, row.branch, row.recipient)):
        groups.setdefault((row.id, row.command, row.state), []).append(row)
    return [
        _release(rows, ended.dispositions[message], exempt)
        if state is State.RELEASED
        else _outcome(rows, _OUTCOMES[state])
        for (message, _, state), rows in groups.items()
    ]


def _release(rows: Sequence[Held], disposition: Disposition, exempt: Exempt | None) -> Disposition:
    first = rows[0]
    key = released_key(first.customer, first.id, first.command) if is_quarantines(first.key) else first.key
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
        received=msgspec.structs.replace(disposition.received, key=key, recovered=False),
        branches=branches,
        exemptions=tuple(exempt(row) for row in rows) if exempt else (),
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


def shown_of(message: bytes | memoryview) -> Shown:
    """Return the first Subject and From, each one printable line; empty where there is none."""
    return Shown(subject_of(message), text_of(message, b"from"))


def to_hold(rows: Sequence[Held], disposition: Disposition) -> Hold:
    """Return the event that says all that these rows, one at least and of one message, say."""
    first = rows[0]
    return Hold(
        id=first.id,
        disposition=disposition,
        subject=first.subject,
        header_from=first.header_from,
        key=first.key,
        policy=first.policy,
        status=Status(first.status),
        score=first.score,
        recipients=tuple(
            HeldFor(
                recipient=row.recipient,
                branch=wire.decode(row.branch.encode(), Branch),
                rule=row.rule,
                reason=row.reason,
                state=row.state.value,
                held_at=row.held_at,
                expires_at=row.expires_at,
                ended_at=row.ended_at,
                ended_by=row.ended_by,
                command=row.command,
                note=row.note,
                reported=row.reported,
                final=row.final,
            )
            for row in rows
        ),
    )


def from_hold(hold: Hold) -> list[Held]:
    """Return the rows that the event was made of."""
    received = hold.disposition.received
    return [
        Held(
            id=hold.id,
            customer=received.customer,
            domain=received.domain,
            recipient=one.recipient,
            reverse_path=printable(received.envelope.reverse_path, TEXT_MOST),
            subject=hold.subject,
            status=hold.status.value,
            score=hold.score,
            rule=one.rule,
            reason=one.reason,
            size=received.size,
            received_at=received.received_at,
            held_at=one.held_at,
            expires_at=one.expires_at,
            state=State(one.state),
            ended_at=one.ended_at,
            ended_by=one.ended_by,
            command=one.command,
            branch=wire.encode(one.branch).decode(),
            key=hold.key,
            total=len(set(received.envelope.recipients)),
            header_from=hold.header_from,
            policy=hold.policy,
            note=one.note,
            reported=one.reported,
            final=one.final,
        )
        for one in hold.recipients
    ]


_SEVERITY: Final = (Status.CLEAN, Status.UNAVAILABLE, Status.SUSPICIOUS, Status.SPAM, Status.PHISHING, Status.VIRUS)


def worse(status: Status, than: Status) -> bool:
    """Return whether the first status is the more severe one."""
    ranks = {each: rank for rank, each in enumerate(_SEVERITY)}
    return ranks.get(status, -1) > ranks.get(than, -1)
