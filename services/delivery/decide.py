"""What replies mean, and what follows from them. Pure: no clock, no network, no table."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from schemas.events import (
    Action,
    Branch,
    Customer,
    Deferred,
    Direction,
    Disposition,
    Event,
    Host,
    Outcome,
    Received,
    State,
)
from services.core import backoff
from services.core.branches import deals
from services.core.direction import outbound, written_here

QUEUE_DAYS: Final = 10.0  # for a customer that is no longer known
DAY: Final = 86_400.0  # seconds
ACCOUNT: Final = "account"  # what the console writes to people
BCC: Final = "bcc"  # a copy that a rule asks for: it has the fields of what it is a copy of
REPLY_MOST: Final = 400  # characters of a reply that an event carries
SOON: Final = 2.0  # seconds until a message is tried that waits for a connection, not for the destination

SECURE: Final = "secure"  # Host.tls of what a rule wants encrypted: DANE or MTA-STS where they are, else verified
_VERIFIED: Final = frozenset({"verified", "pinned"})
_ENHANCED = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?=\s|$)")
_UNPRINTABLE = re.compile(r"[^ -~\u00a0-\ud7ff\ue000-\U0010ffff]+")


class Kind(enum.Enum):
    """What a reply means for a recipient."""

    DELIVERED = "delivered"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"


class Stage(enum.Enum):
    """When a reply came."""

    CONNECT = "connect"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    FINAL = "final"  # after the final dot


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """One answer of an MTA. Code 0: there was none, and `text` says what happened instead."""

    code: int
    text: str
    stage: Stage
    ambiguous: bool = False  # the message went out whole, and whether it was taken is not known

    @property
    def line(self) -> str:
        """The reply on one line, bounded and printable."""
        text = _UNPRINTABLE.sub(" ", f"{self.code} {self.text}" if self.code else self.text)
        return " ".join(text.split())[:REPLY_MOST]

    @property
    def kind(self) -> Kind:
        """What it means for the recipients that it was given for."""
        match = _ENHANCED.match(self.text)
        return classify(self.code, match[0] if match else "", self.stage)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended for one recipient."""

    reply: Reply
    host: str = ""
    tls: str = ""


def classify(code: int, enhanced: str, stage: Stage) -> Kind:
    """Return what a reply means (RFC 5321 section 4.2.1, RFC 3463).

    Mail is only bounced when nothing contradicts it: a 5xx with a 4.x.x is temporary, and so is 552 to RCPT without a
    reason or with 5.5.3, which means too many recipients (RFC 5321 section 4.5.3.1.10).
    """
    group = code // 100
    if group == 2:  # noqa: PLR2004 - the 2yz replies
        return Kind.DELIVERED if stage is Stage.FINAL else Kind.TEMPORARY
    if group != 5 or enhanced.startswith("4."):  # noqa: PLR2004 - the 5yz replies
        return Kind.TEMPORARY
    if code == 552 and stage is Stage.RCPT and enhanced in {"", "5.5.3"}:  # noqa: PLR2004 - see above
        return Kind.TEMPORARY
    return Kind.PERMANENT


# --- what there is to do


def fresh(disposition: Disposition, branch: int, recipients: tuple[str, ...]) -> Deferred:
    """Return the state of a branch that was never tried. Its time in the queue counts from the decision."""
    at = disposition.decided_at
    return Deferred(
        disposition=disposition, branch=branch, recipients=recipients, attempts=0, since=at, next_at=at, reply=""
    )


def to_deliver(disposition: Disposition) -> list[int]:
    """Return which branches of the disposition are delivery's."""
    return [index for index, branch in enumerate(disposition.branches) if deals(branch) is Action.DELIVER]


def refusal(branch: Branch) -> str:
    """Return what the sender is told of a branch that a rule refuses to send (RFC 3463: X.7.1)."""
    return f"5.7.1 not sent, as the rule {branch.rule} says: {branch.reason}"


class Sent(Protocol):
    """What of a message says whose MTA it goes to: the event, or the part of it that the shelf reads."""

    @property
    def bounce_of(self) -> str: ...

    @property
    def own(self) -> str: ...

    @property
    def direction(self) -> Direction: ...


def goes_anywhere(received: Sent) -> bool:
    """Return whether its recipients need not be a customer's: a notification, a link to an account, a customer's own
    mail on its way out."""
    return bool(received.bounce_of) or received.own == ACCOUNT or received.direction is Direction.OUTBOUND


def hosts_of(
    customer: Customer | None,
    domain: str,
    redirect_to: str = "",
    *,
    anywhere: bool = False,
    encrypt: bool = False,
    smarthost: tuple[Host, ...] = (),
) -> tuple[Host, ...]:
    """Return the MTAs for the domain, best first; for a redirect into another of the customer's domains, that one's.

    Empty when the customer has no such domain any more. What goes `anywhere` goes where its MX record says, or to the
    smarthost. What has to be `encrypt`ed reaches them over TLS that is verified.
    """
    relays = {entry.name: entry.relay for entry in customer.domains} if customer else {}
    redirected = redirect_to.rpartition("@")[2].lower()
    relay = relays.get(redirected) or relays.get(domain) or ()
    if anywhere and not relay:
        relay = smarthost or (Host(host=redirected or domain, lookup="mx"),)
    if encrypt:
        relay = tuple(host if host.tls in _VERIFIED else msgspec.structs.replace(host, tls=SECURE) for host in relay)
    return tuple(sorted(relay, key=lambda host: host.preference))


def where_of(hosts: tuple[Host, ...]) -> str:
    """Return the name of a destination: its hosts as configured.

    What must be encrypted has destinations of its own: that a host has no TLS stops nothing else.
    """
    where = ",".join(f"{host.lookup}:{host.host}:{host.port}".removeprefix(":") for host in hosts)
    return f"{where}+tls" if any(host.tls == SECURE for host in hosts) else where


def expires_at(entry: Deferred, customer: Customer | None) -> float:
    """Return when the message has waited for as long as promised, seconds since the epoch."""
    return entry.since + (customer.queue_days if customer else QUEUE_DAYS) * DAY


# --- what follows


@dataclasses.dataclass(frozen=True, slots=True)
class Concluded:
    """What follows from an attempt: events to publish, and what still waits (None: nothing)."""

    outcomes: tuple[Outcome, ...]
    waiting: Deferred | None
    notices: tuple[Received, ...] = ()  # notifications to the sender, stored and to be published before the outcomes

    @property
    def events(self) -> tuple[Event, ...]:
        """What is to be published, in its order."""
        return (*self.notices, *self.outcomes)


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """How often one message is tried; seconds."""

    first: float
    most: float


def conclude(
    entry: Deferred,
    results: Mapping[str, Result],
    *,
    now: float,
    chance: float,
    expires: float,
    pace: Pace,
    told: bool = True,
) -> Concluded:
    """Return what follows from one attempt for all of the entry's recipients.

    Terminal results become outcomes, equal ones together. The rest waits, or expires when its time is over. `told`
    False: nobody can be told now, so that only who has the message has his end, and all others wait.
    """
    received = entry.disposition.received
    attempts = entry.attempts + 1
    duplicate = entry.possible_duplicate
    done: dict[tuple[State, Result], list[str]] = defaultdict(list)
    waiting: dict[str, Result] = {}
    for recipient in entry.recipients:
        result = results[recipient]
        match result.reply.kind:
            case Kind.DELIVERED:
                done[State.DELIVERED, result].append(recipient)
            case Kind.PERMANENT if told:
                done[State.BOUNCED, result].append(recipient)
            case Kind.TEMPORARY if told and now >= expires:
                done[State.EXPIRED, result].append(recipient)
            case _:
                waiting[recipient] = result
    outcomes = tuple(
        _outcome(received, recipients, state, result, now=now, attempts=attempts, duplicate=duplicate)
        for (state, result), recipients in done.items()
    )
    if not waiting:
        return Concluded(outcomes, None)
    last = next(reversed(waiting.values()))
    next_at = now + backoff.delay(attempts, chance, first=pace.first, most=pace.most)
    rest = msgspec.structs.replace(
        entry,
        recipients=tuple(waiting),
        attempts=attempts,
        next_at=min(next_at, expires) if now < expires else next_at,
        reply=last.reply.line,
        tried_at=now,
        host=last.host,
        under_way=False,
        possible_duplicate=duplicate or any(result.reply.ambiguous for result in waiting.values()),
    )
    return Concluded(outcomes, rest)


def without(concluded: Concluded, removed: tuple[str, ...]) -> Concluded:
    """Return the same, where what was delivered says which attachments were not in it any more."""
    outcomes: list[Outcome] = [
        msgspec.structs.replace(one, removed=removed) if one.state is State.DELIVERED else one
        for one in concluded.outcomes
    ]
    return Concluded(tuple(outcomes), concluded.waiting, concluded.notices)


def put_off(entry: Deferred, reply: str, until: float) -> Concluded:
    """Return what follows when no attempt was made: the same message, later."""
    return Concluded((), msgspec.structs.replace(entry, next_at=until, reply=reply, under_way=False))


def ended(entry: Deferred, now: float, state: State = State.EXPIRED, reply: str = "") -> Concluded:
    """Return what follows when there is no use in one more try: the time is over, or a person said so."""
    last = Result(Reply(0, reply or entry.reply or "never tried", Stage.CONNECT))
    outcome = _outcome(
        entry.disposition.received,
        list(entry.recipients),
        state,
        last,
        now=now,
        attempts=entry.attempts,
        duplicate=entry.possible_duplicate,
    )
    return Concluded((outcome,), None)


def _outcome(
    received: Received,
    recipients: list[str],
    state: State,
    result: Result,
    *,
    now: float,
    attempts: int,
    duplicate: bool,
) -> Outcome:
    return Outcome(
        id=received.id,
        customer=received.customer,
        key=received.key,
        recipients=tuple(recipients),
        total=len(set(received.envelope.recipients)),
        state=state,
        at=now,
        received_at=received.received_at,
        host=result.host,
        reply=result.reply.line,
        tls=result.tls,
        attempts=attempts,
        possible_duplicate=duplicate or result.reply.ambiguous,
        sender=received.envelope.reverse_path.lower() if outbound(received) else "",
        direction=received.direction,
        own=written_here(received),
    )
