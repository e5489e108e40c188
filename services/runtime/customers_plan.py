"""What must be published so that the topics hold exactly the customers that are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from schemas.catalog import CUSTOMERS, RECIPIENTS, key_of
from schemas.events import Customer, Event, Recipient
from services.core.customers import CustomerSpec
from services.core.directory import other_sources, recipient_digest
from services.core.errors import ConfigError
from services.runtime.bus import Tombstone

SALT_OCTETS = 16
CONSOLE = "console"  # the origin of what the console keeps


def plan(
    specs: Sequence[CustomerSpec],
    existing: Mapping[str, Customer],
    existing_recipients: Mapping[str, Recipient],
    entropy: Callable[[int], bytes],
) -> list[Event | Tombstone]:
    """Return the events and tombstones that lead from what the topics hold, by key, to what is written.

    In this order no recipient that stays valid is refused on the way: recipients come before the customer that needs
    them and go after it, and a domain that moves has its new owner before its old one lets go (but for two customers
    that swap domains).
    Recipients of other sources than the file stay, as long as the customer and the source are there.
    A customer keeps its salt, or each of its recipients would have to be published again.
    What the console keeps is left as it is; raises ConfigError when something of that is written here as well.
    """
    kept = {key: customer for key, customer in existing.items() if customer.origin == CONSOLE}
    _refuse_kept(specs, kept)
    existing = {key: customer for key, customer in existing.items() if key not in kept}
    existing_recipients = {
        key: recipient for key, recipient in existing_recipients.items() if recipient.customer not in kept
    }
    others = {spec.customer.id: other_sources(spec.customer) for spec in specs}
    customers: list[Customer] = []
    wanted: dict[str, Recipient] = {}
    for spec in specs:
        before = existing.get(spec.customer.id)
        salt = before.salt if before is not None and before.salt else entropy(SALT_OCTETS).hex()
        customer = msgspec.structs.replace(spec.customer, salt=salt)
        customers.append(customer)
        for address in spec.recipients:
            recipient = Recipient(customer=customer.id, digest=recipient_digest(salt, address))
            wanted[key_of(recipient)] = recipient
    changed = [customer for customer in customers if existing.get(customer.id) != customer]
    return [
        *(recipient for key, recipient in wanted.items() if key not in existing_recipients),
        *sorted(changed, key=lambda customer: _gives_away(existing.get(customer.id), customer)),
        *(Tombstone(CUSTOMERS, key) for key in sorted(existing.keys() - {customer.id for customer in customers})),
        *(
            Tombstone(RECIPIENTS, key)
            for key, recipient in existing_recipients.items()
            if key not in wanted and recipient.source not in others.get(recipient.customer, ())
        ),
    ]


def _refuse_kept(specs: Sequence[CustomerSpec], kept: Mapping[str, Customer]) -> None:
    owners = {domain.name: customer.id for customer in kept.values() for domain in customer.domains}
    for spec in specs:
        if spec.customer.id in kept:
            raise ConfigError(f"{spec.customer.id} is kept by the console: `gatepost console import` changes it there")
        for domain in spec.domains:
            if domain.name in owners:
                raise ConfigError(f"{domain.name} is a domain of {owners[domain.name]}, which the console keeps")


def _gives_away(before: Customer | None, after: Customer) -> bool:
    names = {domain.name for domain in after.domains}
    return before is not None and any(domain.name not in names for domain in before.domains)
