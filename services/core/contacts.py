"""With whom a customer has had mail before: digests in bounded memory, the least recently seen go first.

Who wrote to it and was thought clean is one, and to whom it wrote.

Nobody can be read from a digest without the customer's salt. What it serves is evidence, never a reason to hold mail.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from typing import Final

from schemas.events import Contact

CUSTOMER_MOST: Final = 100_000  # correspondents of one customer that are remembered
MOST: Final = 500_000  # of all: about 100 octets each
LEAST: Final = 100  # below so many, too little is known of a customer to call anybody new
KEPT: Final = 90 * 86_400.0  # seconds after which a correspondent who was not heard of is a stranger again
REFRESH: Final = 30 * 86_400.0  # seconds after which one who is heard of is noted again


class Acquaintance(enum.Enum):
    """What is known of a correspondent."""

    UNTOLD = "untold"  # too little is known, or nothing yet
    NEW = "new"
    KNOWN = "known"


def digest(salt_hex: str, address: str) -> str:
    """Return 64 bits of the HMAC-SHA256 of an address under the customer's salt, hex; empty for one that is no hex."""
    try:
        salt = bytes.fromhex(salt_hex)
    except ValueError:
        return ""
    return hmac.digest(salt, b"contact " + address.lower().encode("utf-8", "replace"), hashlib.sha256)[:8].hex()


class Contacts:
    """The correspondents of all customers, fed with the records of contacts.v1."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, OrderedDict[int, float]] = defaultdict(OrderedDict)
        self._count = 0
        self._ready = False

    def __len__(self) -> int:
        return self._count

    def caught_up(self) -> None:
        """Say that everything known at the start has been applied: from now on somebody may be new."""
        self._ready = True

    def apply(self, contact: Contact) -> None:
        """Take in that somebody wrote; a digest that is none is left out."""
        try:
            number = int(contact.digest, 16)
        except ValueError:
            return
        seen = self._seen[contact.customer]
        self._count += number not in seen
        seen[number] = max(contact.at, seen.get(number, 0.0))
        seen.move_to_end(number)
        if len(seen) > CUSTOMER_MOST:
            self._forget_oldest(contact.customer)
        elif self._count > MOST:
            self._forget_oldest(max(self._seen, key=lambda customer: len(self._seen[customer])))

    def acquaintance(self, customer: str, digest: str, now: float) -> Acquaintance:
        """Return what is known of a correspondent."""
        seen: Mapping[int, float] = self._seen.get(customer, {})
        if not digest or not self._ready:
            return Acquaintance.UNTOLD
        at = seen.get(int(digest, 16), 0.0)
        if now - at < KEPT:
            return Acquaintance.KNOWN
        return Acquaintance.NEW if len(seen) >= LEAST else Acquaintance.UNTOLD

    def told(self, customer: str) -> bool:
        """Return whether enough is known of the customer to call anybody new."""
        return self._ready and len(self._seen.get(customer, ())) >= LEAST

    def stranger(self, customer: str, digest: str, now: float) -> bool:
        """Return whether the customer is not known to have had mail with a correspondent, however little is known.

        Before all has been applied nobody is called one.
        """
        seen: Mapping[int, float] = self._seen.get(customer, {})
        return self._ready and bool(digest) and now - seen.get(int(digest, 16), 0.0) >= KEPT

    def worth_noting(self, customer: str, digest: str, now: float) -> bool:
        """Return whether the topic should hear of the correspondent (again)."""
        seen: Mapping[int, float] = self._seen.get(customer, {})
        return bool(digest) and now - seen.get(int(digest, 16), 0.0) >= REFRESH

    def _forget_oldest(self, customer: str) -> None:
        self._seen[customer].popitem(last=False)
        self._count -= 1
