"""The events by which people act: command line, API and pages make the same ones."""

from __future__ import annotations

import os

import msgspec

from schemas.events import Act, Command, Customer, QuarantineCommand, QuarantineRequest, SenderEntry, Status
from services.core.address import parse, parse_domain
from services.core.directory import recipient_digest
from services.core.errors import BadAddress
from services.core.ids import message_id
from services.core.senders import ALL, normal_sender

RECIPIENT = "recipient:"  # before the digest of one, where entries are shown
# Held as one of these, a message is no matter of taste: with `users_release: spam` somebody else decides.
DANGEROUS = frozenset({Status.VIRUS, Status.PHISHING, Status.UNAVAILABLE})


def command(
    action: Command, message: str, customer: str, recipients: tuple[str, ...], by: str, now: float
) -> QuarantineCommand:
    """Return the command that ends a hold."""
    return QuarantineCommand(
        command_id=message_id(now, os.urandom),
        id=message,
        customer=customer,
        action=action,
        recipients=recipients,
        by=by,
        at=now,
    )


def request(  # what the event says
    act: Act, message: str, customer: str, recipients: tuple[str, ...], by: str, now: float, to: str = ""
) -> QuarantineRequest:
    """Return the request on a message that stays held."""
    return QuarantineRequest(
        request_id=message_id(now, os.urandom),
        id=message,
        customer=customer,
        act=act,
        recipients=recipients,
        by=by,
        at=now,
        to=to,
    )


def wish(message: str, customer: str, recipients: tuple[str, ...], by: str, now: float) -> QuarantineRequest:
    """Return the request of somebody who may not release it himself: it counts as a report of clean mail."""
    return msgspec.structs.replace(request(Act.REPORT_CLEAN, message, customer, recipients, by, now), wanted=True)


def may_release(customer: Customer | None, status: str) -> bool:
    """Return whether a recipient may release by himself what is held with this status."""
    plan = customer.users_release if customer is not None else "none"
    return plan == "all" or (plan == "spam" and status not in DANGEROUS)


def mine(customer: Customer, address: str) -> str:
    """Return the address when mail to it is the customer's; raise BadAddress otherwise."""
    parsed = parse(address)
    if parsed.domain not in {domain.name for domain in customer.domains}:
        raise BadAddress("the address is in none of the customer's domains")
    return str(parsed)


def sender_entry(customer: Customer, whom: str, sender: str, *, approved: bool, by: str, now: float) -> SenderEntry:
    """Return the entry; `whom` is `all`, @domain, or a recipient. Raises BadAddress when it can't apply to anything."""
    return SenderEntry(
        customer=customer.id,
        whom=whom_of(customer, whom),
        sender=normal_sender(sender),
        approved=approved,
        by=by,
        at=now,
    )


def whom_of(customer: Customer, whom: str) -> str:
    """Return `all`, @domain or a recipient's address as entries hold it; raise BadAddress when it is not theirs."""
    if whom in ("all", ALL):
        return ALL
    if whom.startswith("@"):
        domain = parse_domain(whom[1:])
        if domain not in {each.name for each in customer.domains}:
            raise BadAddress("the domain is none of the customer's")
        return f"@{domain}"
    return recipient_digest(customer.salt, mine(customer, whom))


def shown_whom(whom: str) -> str:
    """Return whom an entry is for as people read it."""
    if whom == ALL:
        return "all"
    return whom if whom.startswith("@") else f"{RECIPIENT}{whom}"
