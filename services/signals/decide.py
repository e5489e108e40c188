"""What is counted, over which window, and when it is too much. Pure: the app feeds it and acts on what it returns."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import msgspec

from schemas.events import Direction, Disposition, Event, Outcome, Received, Rejection, Signal, Tally
from services.core import conduct, outbreak
from services.core.direction import outbound, signed_in
from services.core.errors import UnreadableEvent
from services.core.signals import Kind, address_of, network_of

STEP: Final = 60.0  # seconds of one tumbling window; a longer window is a sum of these
BITS: Final = 60  # of a set: as JSON has them without loss
UNKNOWN: Final = "unknown-recipient"  # the reason of a Rejection that may be a harvester's


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """`count` within `window_s` seconds, and no less than `share` of all, is told and holds for `lapse_s` seconds.

    A count of 0 is never told. Without the share, whoever sends us a great deal would pass for a harvester. Where
    `lapse_s` is 0 it holds until the window has room again: then the doors together let in as much as the limit says.
    """

    count: int
    window_s: float
    lapse_s: float
    share: float = 0.0
    customers: int = 0  # an outbreak reaches so many customers, or comes from so many networks, or goes to so many
    sources: int = 0
    recipients: int = 0

    def starts(self, at: float) -> list[float]:
        """Return a time in each tumbling window that the count at `at` is the sum of, the latest first."""
        return [at - STEP * back for back in range(round(self.window_s / STEP))]

    def until(self, at: float, sums: Sequence[int]) -> float:
        """Return until when it holds that was passed at `at`; `sums` are the counts of the windows of `starts`."""
        if self.lapse_s:
            return at + self.lapse_s
        minute = at // STEP * STEP
        left = next((k for k in range(1, len(sums)) if sum(sums[: len(sums) - k]) < self.count), len(sums))
        return minute + STEP * left


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """How far what was counted has spread: the sets of a window, and how many of the count others were sure of."""

    flagged: int = 0
    customers: int = 0
    sources: int = 0
    recipients: int = 0

    def reaches(self, limit: Limit) -> bool:
        """Return whether it is as wide as the limit asks, which may ask nothing."""
        asked = (
            (self.customers, limit.customers),
            (self.sources, limit.sources),
            (self.recipients, limit.recipients),
        )
        return not any(least for _, least in asked) or any(least and s.bit_count() >= least for s, least in asked)


ALONE: Final = Spread()


def sightings(event: Event) -> tuple[Tally, ...]:
    """Return what an event adds to the counts; raise UnreadableEvent when its client address is none.

    The null sender is everybody's, so no count is kept of it. A message that `recover` put back on its way was counted
    when it came.
    """
    match event:
        case Rejection(reason=reason) if reason == UNKNOWN:
            return _asked(event.client_ip, event.reverse_path, event.at, unknown=1)
        case Received(recovered=False, bounce_of="", direction=Direction.INBOUND):
            envelope, customer, at = event.envelope, event.customer, event.received_at
            address, _ = _client(envelope.client_ip)
            return (
                *_asked(envelope.client_ip, envelope.reverse_path, at, known=len(envelope.recipients)),
                Tally(subject=address, kind=Kind.ABUSE_RATE, count=1, at=at),
                Tally(subject=customer, kind=Kind.CUSTOMER_RATE, customer=customer, count=1, at=at),
                Tally(
                    subject=customer,
                    kind=Kind.CUSTOMER_RECIPIENTS,
                    customer=customer,
                    count=len(envelope.recipients),
                    at=at,
                ),
            )
        case Received(recovered=False, bounce_of="", own="", part=0, direction=Direction.OUTBOUND):
            return _submitted(event)
        case Disposition():
            return _alike(event) or _sent(event)
        case Outcome(sender=sender) if sender and conduct.no_such_address(event):
            failed = len(event.recipients)
            return (_conduct(Kind.SENDER_CONDUCT, sender, event.customer, event.at, failed=failed),)
    return ()


def _submitted(received: Received) -> tuple[Tally, ...]:
    """Return what a message that a customer handed in adds to what it, its client and its sender had."""
    address, _ = _client(received.envelope.client_ip)
    subjects = (
        (Kind.SUBMIT_ADDRESS, address),
        (Kind.SUBMIT_SENDER, received.envelope.reverse_path.lower()),
        (Kind.SUBMIT_CUSTOMER, received.customer),
    )
    at, customer = received.received_at, received.customer
    return tuple(
        Tally(subject=subject, kind=kind, customer=customer, count=1, at=at) for kind, subject in subjects if subject
    )


def _sent(disposition: Disposition) -> tuple[Tally, ...]:
    """Return what a message that goes out says of the conduct of its sender, and of the account that handed it in."""
    received = disposition.received
    path = received.envelope.reverse_path.lower()
    if not outbound(received) or received.recovered or disposition.released_by or not path:
        return ()
    sent = len(received.envelope.recipients)
    bad = sent if disposition.status in outbreak.BAD else 0
    said = partial(
        _conduct,
        customer=received.customer,
        at=disposition.decided_at,
        sent=sent,
        bad=bad,
        strangers=disposition.strangers,
    )
    found = (said(Kind.SENDER_CONDUCT, path),)
    if signed_in(received) and received.submitter != path:
        return (*found, said(Kind.ACCOUNT_CONDUCT, received.submitter, senders=_bit(path)))
    return found


def _conduct(  # noqa: PLR0913  # what a window counts
    kind: Kind,
    subject: str,
    customer: str,
    at: float,
    *,
    sent: int = 0,
    strangers: int = 0,
    bad: int = 0,
    failed: int = 0,
    senders: int = 1,
) -> Tally:
    return Tally(
        subject=subject.lower(),
        kind=kind,
        customer=customer,
        count=sent,
        at=at,
        flagged=bad,
        strangers=strangers,
        failed=failed,
        sources=senders,
    )


def _alike(disposition: Disposition) -> tuple[Tally, ...]:
    """Return one tally for each fingerprint of a message that may be one of an outbreak."""
    received = disposition.received
    if not outbreak.counts(disposition) or outbound(received):
        return ()
    envelope = received.envelope
    _, network = _client(envelope.client_ip)
    recipients = 0
    for recipient in envelope.recipients:
        recipients |= _bit(recipient.lower())
    return tuple(
        Tally(
            subject=found,
            kind=Kind.OUTBREAK,
            count=1,
            at=disposition.decided_at,
            flagged=int(outbreak.flagged(disposition)),
            customers=_bit(received.customer),
            sources=_bit(network),
            recipients=recipients,
        )
        for found in disposition.prints
        if found not in outbreak.NO_PRINT
    )


def _bit(name: str) -> int:
    """Return one of BITS bits: of a few dozen names nearly each has its own, so the set's size is never overstated."""
    return 1 << (zlib.crc32(name.encode("utf-8", "surrogatepass")) % BITS)


def _asked(client_ip: str, reverse_path: str, at: float, *, unknown: int = 0, known: int = 0) -> tuple[Tally, ...]:
    address, network = _client(client_ip)
    subjects = (
        (Kind.HARVEST_ADDRESS, address),
        (Kind.HARVEST_NETWORK, network),
        (Kind.HARVEST_SENDER, reverse_path.lower()),
    )
    return tuple(
        Tally(subject=subject, kind=kind, count=unknown, known=known, at=at) for kind, subject in subjects if subject
    )


def _client(client_ip: str) -> tuple[str, str]:
    try:
        return address_of(client_ip), network_of(client_ip)
    except ValueError as error:
        raise UnreadableEvent("client_ip is no address") from error


def gathered(tallies: Iterable[Tally]) -> list[Tally]:
    """Return one tally for each subject, kind and tumbling window: a burst costs one record, not one an event."""
    sums: dict[tuple[str, str, float], Tally] = {}
    for tally in tallies:
        group = (tally.subject, tally.kind, tally.at // STEP)
        so_far = sums.get(group)
        sums[group] = tally if so_far is None else _sum(so_far, tally)
    return list(sums.values())


def _sum(one: Tally, other: Tally) -> Tally:
    return msgspec.structs.replace(
        one,
        count=one.count + other.count,
        known=one.known + other.known,
        flagged=one.flagged + other.flagged,
        strangers=one.strangers + other.strangers,
        failed=one.failed + other.failed,
        customers=one.customers | other.customers,
        sources=one.sources | other.sources,
        recipients=one.recipients | other.recipients,
        at=max(one.at, other.at),
    )


def counts(tally: Tally, limit: Limit | None, now: float) -> bool:
    """Return whether a tally still matters: after a long stop, what is older than its window tells nothing."""
    return limit is not None and limit.count > 0 and tally.at > now - limit.window_s


def crossed(
    tally: Tally,
    count: int,
    limit: Limit,
    told: Signal | None,
    now: float,
    *,
    known: int = 0,
    spread: Spread = ALONE,
    until: float | None = None,
) -> Signal | None:
    """Return the signal to publish, now that `count` and `known` stand in the window; None: there is nothing to tell.

    `told` is the signal that holds at present. It is told again when it has doubled, and when half of its time is over
    and the limit is still passed, so that a steady attack costs a record now and then.
    """
    if count < limit.count or count < limit.share * (count + known):
        return None
    if not spread.reaches(limit):
        return None
    until = tally.at + limit.lapse_s if until is None else until
    if until <= now:
        return None
    if told is not None and count < 2 * told.count and until - told.until < max(limit.lapse_s / 2, 1.0):
        return None
    return Signal(
        subject=tally.subject,
        kind=tally.kind,
        customer=tally.customer,
        count=count,
        window_s=limit.window_s,
        until=until,
        at=tally.at,
        flagged=spread.flagged,
    )
