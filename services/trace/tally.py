"""What is counted of an event, by hour, customer, kind and name. Pure.

Counted are recipients: a message to three people is three, so that what came in can be compared with what became of it.
What we wrote ourselves (digests, notices, mail to accounts) is nobody's traffic. A recipient that was refused is one.
"""

from __future__ import annotations

import bisect
import dataclasses
import enum
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from schemas.events import Action, Direction, Disposition, Event, Outcome, Received, Rejection, State, Status, Verdict
from services.core.direction import outbound
from services.core.sealed import is_quarantines

HOUR: Final = 3_600  # seconds
EVERYBODY: Final = "*"  # the customer under which the whole service is counted: no customer's id has it
NAME_MOST: Final = 60  # characters
RULES: Final = "rules"  # the layer of what no scanner objected to

# Upper bounds of the latencies that are told apart, in milliseconds; the last has none.
BOUNDS: Final = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000)
LONGER: Final = 3_600_000  # ms: as what is beyond the last bound is shown


class Kind(enum.StrEnum):
    """What is counted. Part of the table's key: a name is never given another meaning."""

    MESSAGES = "messages"  # that came in, whatever the number of their recipients
    OCTETS = "octets"  # of those
    IN = "in"
    OUT = "out"
    REFUSED = "refused"  # at the door, by reason
    HELD = "held"  # by the layer that stopped it
    DELETED = "deleted"  # by policy, by the layer
    THREAT = "threat"  # by status
    VIRUS = "virus"  # messages, by the name of what was found
    ENDED = "ended"  # of what came in, by outcome
    OUT_ENDED = "out-ended"
    LATENCY = "latency"  # of what was delivered at once, by the upper bound in ms


@dataclasses.dataclass(frozen=True, slots=True)
class Count:
    """So many of a kind. `name` is empty where the kind says it all."""

    hour: int  # since the epoch
    customer: str
    kind: Kind
    name: str
    count: int


def counts(event: Event) -> tuple[Count, ...]:
    """Return what the event adds: for its customer, where it is known whose it is, and for everybody."""
    found = [each for each in _counted(event) if each.count > 0]
    own = [each for each in found if each.customer]
    return (*own, *(dataclasses.replace(each, customer=EVERYBODY) for each in found))


def added(found: Iterable[Count]) -> list[Count]:
    """Return the sums, in the order of the table's key."""
    sums: dict[tuple[str, int, str, str], Count] = {}
    for each in found:
        key = (each.customer, each.hour, each.kind.value, each.name)
        before = sums.get(key)
        sums[key] = each if before is None else dataclasses.replace(each, count=each.count + before.count)
    return [sums[key] for key in sorted(sums)]


def _counted(event: Event) -> Iterator[Count]:
    match event:
        case Received() if not event.own and not event.bounce_of:
            yield from _received(event)
        case Rejection():
            yield _count(event.at, event.customer, Kind.REFUSED, event.reason)
        case Disposition():
            yield from _disposition(event)
        case Verdict(status=Status.VIRUS):
            name = event.evidence[0].code if event.evidence else event.scanner
            yield _count(event.scanned_at, event.customer, Kind.VIRUS, name)
        case Outcome() if not event.own:
            yield from _outcome(event)


def _received(event: Received) -> Iterator[Count]:
    at, whose, many = event.received_at, event.customer, len(set(event.envelope.recipients))
    if outbound(event):
        yield _count(at, whose, Kind.OUT, count=many)
        return
    yield _count(at, whose, Kind.IN, count=many)
    yield _count(at, whose, Kind.MESSAGES)
    yield _count(at, whose, Kind.OCTETS, count=event.size)


def _disposition(event: Disposition) -> Iterator[Count]:
    received = event.received
    # A release has been counted when it was held, and what the store published again when it first was decided.
    if event.release or received.own or received.bounce_of or received.recovered or outbound(received):
        return
    at, whose = event.decided_at, received.customer
    layer = _layer(event)
    kinds = {Action.QUARANTINE: Kind.HELD, Action.DELETE: Kind.DELETED}
    for branch in event.branches:
        if branch.action in kinds:
            yield _count(at, whose, kinds[branch.action], layer, len(branch.recipients))
    if event.status not in {Status.CLEAN, Status.UNAVAILABLE, Status.GONE}:
        yield _count(
            at, whose, Kind.THREAT, event.status.value, sum(len(branch.recipients) for branch in event.branches)
        )


def _layer(event: Disposition) -> str:
    """Return the scanner that said the worst; RULES when it was none, but a rule of the customer's."""
    if event.status is Status.CLEAN:
        return RULES
    said = (each.rpartition("=") for each in event.scanners)
    return next((name.partition("/")[0] for name, _, status in said if status == event.status.value), RULES)


def _outcome(event: Outcome) -> Iterator[Count]:
    many = len(event.recipients)
    if event.direction is Direction.OUTBOUND:
        yield _count(event.at, event.customer, Kind.OUT_ENDED, event.state.value, many)
        return
    yield _count(event.at, event.customer, Kind.ENDED, event.state.value, many)
    # What waited for the customer's MTA, or for a person, says nothing of how fast we are.
    if event.state is State.DELIVERED and event.attempts <= 1 and not is_quarantines(event.key):
        yield _count(event.at, event.customer, Kind.LATENCY, str(bound_of(event.at - event.received_at)), many)


def _count(at: float, customer: str, kind: Kind, name: str = "", count: int = 1) -> Count:
    return Count(int(at // HOUR), customer, kind, name.replace("\0", "")[:NAME_MOST], count)


def bound_of(seconds: float) -> int:
    """Return the upper bound, in ms, of the span that a latency lies in."""
    place = bisect.bisect_left(BOUNDS, seconds * 1_000)
    return BOUNDS[place] if place < len(BOUNDS) else LONGER


def quantile(spans: Mapping[int, int], share: float) -> float:
    """Return the latency in seconds that `share` of them don't exceed, from counts by upper bound; 0 of none.

    Within a span they are taken to lie evenly on a logarithmic scale: the error is less than a span's width.
    """
    total = sum(spans.values())
    if not total:
        return 0.0
    wanted, before, lower = share * total, 0, BOUNDS[0] / 10
    for bound, many in sorted(spans.items()):
        lower = max((each for each in BOUNDS if each < bound), default=lower)
        if before + many >= wanted:
            return float(lower * (bound / lower) ** ((wanted - before) / many)) / 1_000
        before += many
    raise AssertionError("all of them are more than a share of them")
