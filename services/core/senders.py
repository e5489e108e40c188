"""Approved and blocked senders, and which of several entries counts.

Order: what the recipient said, then his domain, then the whole customer; within one of them the full address before
its domain. The narrowest statement was made with the most knowledge of this mail. One sender has one entry in each
place, so there is never an approval beside a block.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import Final

from schemas.catalog import key_of
from schemas.events import Customer, SenderEntry
from services.core.address import parse, parse_domain
from services.core.directory import recipient_digest
from services.core.errors import BadAddress

ALL: Final = "*"  # the whole customer
_PROPERTY: Final = re.compile(r"(smtp\.mailfrom|header\.d|header\.from)=(\S+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """The entry that counts, and where it stands in words."""

    entry: SenderEntry
    scope: str


class Senders:
    """The view of senders.v1. One writer: whoever follows the topic."""

    def __init__(self) -> None:
        self._entries: dict[str, SenderEntry] = {}
        self._customers: dict[str, int] = {}

    def apply(self, entry: SenderEntry) -> None:
        """Take in an entry; a later one of the same key replaces it."""
        key = key_of(entry)
        if key not in self._entries:
            self._customers[entry.customer] = self._customers.get(entry.customer, 0) + 1
        self._entries[key] = entry

    def remove(self, key: str) -> None:
        """Take in a tombstone; a key that isn't there is fine."""
        if (entry := self._entries.pop(key, None)) is not None:
            self._customers[entry.customer] -= 1

    def of(self, customer: str) -> Iterator[SenderEntry]:
        """Yield the customer's entries."""
        yield from [entry for entry in self._entries.values() if entry.customer == customer]

    def find(self, customer: Customer, recipient: str, senders: Iterable[str]) -> Listed | None:
        """Return the entry that counts for mail of any of the senders (addresses, or @domain) to the recipient."""
        if not self._customers.get(customer.id):
            return None
        try:
            address = parse(recipient)
            digest = recipient_digest(customer.salt, address)
        except BadAddress:
            return None
        names = list(senders)
        for whom, scope in (
            (digest, "this recipient"),
            (f"@{address.domain}", address.domain),
            (ALL, "all recipients"),
        ):
            for sender in names:
                entry = self._entries.get(f"{customer.id}/{whom}/{sender}")
                if entry is not None:
                    return Listed(entry, scope)
        return None


def names_of(reverse_path: str) -> tuple[str, ...]:
    """Return the names under which a sender may be listed, the narrowest first; none for the null sender."""
    try:
        address = parse(reverse_path)
    except BadAddress:
        return ()
    return (address.canonical, f"@{address.domain}")


def normal_sender(text: str) -> str:
    """Return an address or @domain as entries hold it; raise BadAddress for anything else."""
    return f"@{parse_domain(text[1:])}" if text.startswith("@") else parse(text).canonical


def authenticated(reverse_path: str, results: Iterable[tuple[str, str]]) -> bool:
    """Return whether SPF, aligned DKIM or DMARC shows that the reverse-path's domain sent this (RFC 7489 section 3.1).

    `results` are pairs of method and result as a Verdict has them.
    """
    domain = reverse_path.rpartition("@")[2].casefold()
    if not domain:
        return False
    for method, result in results:
        if result.split(" ", 1)[0] != "pass":
            continue
        found = {name: value.casefold().rpartition("@")[2] for name, value in _PROPERTY.findall(result)}
        named = {
            "spf": found.get("smtp.mailfrom", ""),
            "dkim": found.get("header.d", ""),
            "dmarc": found.get("header.from", ""),
        }.get(method, "")
        if named and (domain == named or (method == "dkim" and domain.endswith(f".{named}"))):
            return True
    return False
