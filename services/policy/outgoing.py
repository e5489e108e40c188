"""What is asked of outgoing mail alone: whether its sender is held, and to whom it goes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from schemas.events import Action, Contact, Customer, Disposition, SenderHold, Sent, Status
from services.core.address import parse
from services.core.contacts import Contacts, digest
from services.core.direction import outbound
from services.core.errors import BadAddress
from services.core.sent import sent

HELD: Final = "sender-held"  # the rule under which mail of a held sender is held


def stopped(disposition: Disposition, hold: SenderHold | None) -> Disposition:
    """Return the disposition with nothing delivered, where its sender is held: an administrator looks at it first."""
    if hold is None:
        return disposition
    branches = tuple(
        msgspec.structs.replace(branch, action=Action.QUARANTINE, rule=HELD, reason=f"the sender is held: {hold.why}")
        if branch.action is Action.DELIVER
        else branch
        for branch in disposition.branches
    )
    return msgspec.structs.replace(disposition, branches=branches)


def met(
    disposition: Disposition, customer: Customer, contacts: Contacts, now: float
) -> tuple[Disposition, tuple[Contact | Sent, ...]]:
    """Return the disposition with how many of its recipients are strangers, and what to remember from now on.

    Remembered are messages that are let through, and to whom clean ones went: what comes back from there is a reply, or
    a bounce, or at least from somebody known.
    """
    received = disposition.received
    if not outbound(received) or not customer.salt:
        return disposition, ()
    everybody = _digests(customer, received.envelope.recipients)
    strangers = sum(contacts.stranger(customer.id, each, now) for each in everybody)
    told = msgspec.structs.replace(disposition, strangers=strangers)
    reached = [r for branch in disposition.branches if branch.action is Action.DELIVER for r in branch.recipients]
    if not reached:
        return told, ()
    gone = sent(received, customer.salt, reached, now)
    if disposition.status is not Status.CLEAN:
        return told, (gone,)
    noted = [each for each in _digests(customer, reached) if contacts.worth_noting(customer.id, each, now)]
    return told, (gone, *(Contact(customer=customer.id, digest=each, at=now) for each in noted))


def _digests(customer: Customer, recipients: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    for recipient in recipients:
        try:
            found[digest(customer.salt, parse(recipient).canonical)] = None
        except BadAddress:  # none that submission took
            continue
    return [each for each in found if each]
