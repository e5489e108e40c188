"""Who may send what. Pure: facts in, an answer out.

Two things are asked of every message: that its client is known, and that both of its senders, the reverse-path and
From, are in a domain of the customer whose client it is. So nobody relays here, and no customer speaks for another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from schemas.events import Customer, Domain
from services.core import replies
from services.core.address import Address, parse
from services.core.authors import authors_of
from services.core.canonical import HEAD_LIMIT, Decoder
from services.core.directory import POSTMASTER, DirectoryView
from services.core.errors import BadAddress
from services.core.headers import header_end
from services.ingress import decide
from services.ingress.commands import BadCommand, parse_path
from services.ingress.config import IngressConfig

_AUTH: Final = frozenset({"AUTH"})  # RFC 4954 section 5: who wrote it first; believed of nobody, and taken


def sender(
    argument: str, customers: Sequence[Customer], submitter: str, directory: DirectoryView, config: IngressConfig
) -> decide.Sender | decide.Refusal:
    """Return the sender that MAIL names, or why it is refused; the client may send for each of the customers."""
    if not customers:
        return decide.Refusal(replies.AUTH_REQUIRED, "auth-required")
    said = decide.sender(argument, directory, config, ignored=_AUTH)
    if isinstance(said, decide.Refusal):
        return said
    owner = _owner(said.reverse_path, customers, directory)
    if owner is None:
        whose = customers[0].id if len(customers) == 1 else ""
        return decide.Refusal(replies.NOT_YOUR_SENDER, "foreign-sender", whose)
    return dataclasses.replace(said, owner=owner, submitter=submitter)


def _owner(reverse_path: str, customers: Sequence[Customer], directory: DirectoryView) -> Customer | None:
    """Return the one customer whose sender it is. The null sender is everybody's, so of several nobody's."""
    if not reverse_path:
        return customers[0] if len(customers) == 1 else None
    found = directory.lookup_domain(parse(reverse_path).domain)
    if found is None:
        return None
    customer, domain = found
    owner = next((each for each in customers if each.id == customer.id), None)
    return owner if owner is not None and any(each.name == domain.name for each in owner.domains) else None


def recipient(  # noqa: PLR0911  # each return is one rule, in the order in which they apply
    argument: str, sender: decide.Sender, accepted: int, directory: DirectoryView, config: IngressConfig
) -> decide.Accepted | decide.Refusal:
    """Return the recipient that RCPT names, anywhere; whether it exists is for its own MX to say."""
    owner = sender.owner
    if owner is None:
        return decide.Refusal(replies.AUTH_REQUIRED, "auth-required")
    try:
        mailbox, parameters = parse_path("TO:", argument)
    except BadCommand:
        return decide.Refusal(replies.BAD_ARGUMENT)
    if parameters:
        return decide.Refusal(replies.BAD_PARAMETER)
    if mailbox.lower() == POSTMASTER:
        mailbox = decide.postmaster(directory, config)
    try:
        address = parse(mailbox)
    except BadAddress:
        return decide.Refusal(replies.BAD_RECIPIENT, "bad-recipient", owner.id)
    if not _reachable(address):
        return decide.Refusal(replies.BAD_RECIPIENT, "bad-recipient", owner.id)
    if not sender.smtputf8 and not mailbox.isascii():
        return decide.Refusal(replies.NEEDS_SMTPUTF8, "bad-recipient", owner.id)
    if sender.size > owner.max_size:
        return decide.Refusal(replies.TOO_BIG, "too-big", owner.id)
    if accepted >= config.max_recipients:
        return decide.Refusal(replies.TOO_MANY_RECIPIENTS, "too-many-recipients", owner.id)
    return decide.Accepted(owner, Domain(name=address.domain, relay=()), address)


def _reachable(address: Address) -> bool:
    """Return whether the domain can have an MX record: a literal would lead wherever the client says."""
    return not address.domain.startswith("[") and "." in address.domain


def content(decoder: Decoder, owner: Customer) -> decide.Refusal | None:
    """Return why the message is not the customer's to send: one From field, with no address but its own domains'."""
    head = decoder.head(HEAD_LIMIT)
    said = authors_of(head[: header_end(head)])
    if not said:
        return decide.Refusal(replies.NO_FROM, "bad-from", owner.id)
    own = {domain.name for domain in owner.domains}
    if any(address.domain not in own for address in said):
        return decide.Refusal(replies.NOT_YOUR_FROM, "foreign-from", owner.id)
    return None
