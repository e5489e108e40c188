"""Who our customers are, which domains and recipients they have, and which scanners look at their mail.

Pure: `services.runtime.directory` follows the topics and feeds this; decisions read it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from typing import Final, Protocol

from schemas.events import Account, Customer, Domain, Event, Recipient, Scanner
from services.core.address import Address, parse
from services.core.errors import BadAddress, UnreadableEvent
from services.core.networks import networks

POSTMASTER: Final = "postmaster"
LISTED: Final = ""  # the source of recipients that the customers file or the console lists
FILE, CSV, LDAP = "", "csv", "ldap:"  # sources of recipients; the last is followed by its name


class DirectoryView(Protocol):
    """What the door asks of the directory. Nothing here waits: the answers are in memory."""

    def lookup_domain(self, name: str) -> tuple[Customer, Domain] | None:
        """Return the owner of a domain (lower case, A-labels), None when it isn't ours."""
        ...

    def recipient_known(self, customer: Customer, domain: Domain, address: Address) -> bool:
        """Return whether the address, which is in the domain, takes mail."""
        ...

    def plan(self) -> tuple[str, ...]:
        """Return the names of the scanners that must answer for a new message, sorted; empty when none is known yet."""
        ...

    def ready(self) -> bool:
        """Return whether it has been read to its end once: before that it knows too little to refuse anybody."""
        ...

    def allows(self, ip: str) -> bool:
        """Return whether some customer takes mail from the address whatever others think of it."""
        ...


def other_sources(customer: Customer) -> frozenset[str]:
    """Return the sources beside the customers file that the customer's recipients may come from."""
    return frozenset({CSV, *(LDAP + source.name for source in customer.directory)})


def recipient_digest(salt_hex: str, address: Address | str) -> str:
    """Return the hex HMAC-SHA256 of the canonical address under the salt; raise BadAddress when it is no address."""
    address = address if isinstance(address, Address) else parse(address)
    return _digest(salt_hex, address).hex()


def _digest(salt_hex: str, address: Address) -> bytes:
    return hmac.digest(_hex(salt_hex), address.canonical.encode(), hashlib.sha256)


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise UnreadableEvent("a salt or a digest is not hex") from error


class Directory:
    """The DirectoryView over events in the order of their topics. The last event of a key is the truth."""

    def __init__(self) -> None:
        self._customers: dict[str, Customer] = {}
        self._owners: dict[str, dict[str, Domain]] = defaultdict(dict)  # domain name to customers' ids
        self._recipients: dict[str, dict[bytes, tuple[str, ...]]] = defaultdict(dict)  # customer: digest: sources
        self._groups: dict[str, dict[bytes, dict[str, tuple[str, ...]]]] = defaultdict(dict)  # …: digest: source: names
        self._scanners: dict[str, Scanner] = {}
        self._allowing: dict[str, tuple[str, ...]] = {}  # customers with a list of their own
        self._sending: dict[str, Customer] = {}  # those whose mail goes out through us
        self._plan: tuple[str, ...] = ()
        self._ready = False

    def apply(self, event: Event) -> None:
        """Take in a Customer, Recipient or Scanner; raise UnreadableEvent for a salt or digest that is not hex.

        A domain that two customers claim stays with the one that had it first: nobody's mistake takes another's mail.
        """
        match event:
            case Customer():
                _hex(event.salt)
                self._disown(event.id, keep=frozenset(domain.name for domain in event.domains))
                self._customers[event.id] = event
                self._allowing.pop(event.id, None)
                if event.allow:
                    self._allowing[event.id] = event.allow
                self._sending.pop(event.id, None)
                if event.outbound.enabled:
                    self._sending[event.id] = event
                for domain in event.domains:
                    self._owners[domain.name][event.id] = domain
            case Recipient():
                known, digest = self._recipients[event.customer], _hex(event.digest)
                if event.source not in known.get(digest, ()):
                    known[digest] = (*known.get(digest, ()), event.source)
                self._in_groups(event.customer, digest, event.source, event.groups)
            case Scanner():
                self._scanners[event.name] = event
                self._replan()
            case _:
                raise TypeError(f"{type(event).__name__} says nothing to the directory")

    def remove(self, struct: type[Event], key: str) -> None:
        """Take a key of the struct's topic out, as its tombstone says; one that isn't there is fine."""
        if struct is Customer:
            self._disown(key, keep=frozenset())
            self._customers.pop(key, None)
            self._allowing.pop(key, None)
            self._sending.pop(key, None)
        elif struct is Recipient:
            self._let_go(*(*key.split("/", 2), "")[:3])
        elif struct is Scanner:
            self._scanners.pop(key, None)
            self._replan()
        else:
            raise TypeError(f"{struct.__name__} says nothing to the directory")

    def caught_up(self) -> None:
        """Say that everything known at the start has been applied."""
        self._ready = True

    def customer(self, customer: str) -> Customer | None:
        """Return the customer of this id."""
        return self._customers.get(customer)

    def customers(self) -> tuple[Customer, ...]:
        """Return every customer, by id."""
        return tuple(self._customers[key] for key in sorted(self._customers))

    def lists(self, customer: str) -> bool:
        """Return whether the customer's recipients are listed by address, whatever other sources say."""
        return any(LISTED in sources for sources in self._recipients.get(customer, {}).values())

    def lookup_domain(self, name: str) -> tuple[Customer, Domain] | None:
        """See DirectoryView."""
        owners = self._owners.get(name)
        if not owners:
            return None
        customer = next(iter(owners))
        return self._customers[customer], owners[customer]

    def recipient_known(self, customer: Customer, domain: Domain, address: Address) -> bool:
        """See DirectoryView. postmaster is always there (RFC 5321 section 4.5.1)."""
        if domain.any_recipient or address.local.lower() == POSTMASTER:
            return True
        return _digest(customer.salt, address) in self._recipients.get(customer.id, ())

    def groups_of(self, customer: Customer, address: str) -> frozenset[str]:
        """Return the names of the directory's groups that the address is in; none of what is no address."""
        in_groups = self._groups.get(customer.id)
        if not in_groups:
            return frozenset()
        try:
            digest = _digest(customer.salt, parse(address))
        except BadAddress:
            return frozenset()
        return frozenset(name for names in in_groups.get(digest, {}).values() for name in names)

    def plan(self) -> tuple[str, ...]:
        """See DirectoryView."""
        return self._plan

    def ready(self) -> bool:
        """See DirectoryView."""
        return self._ready

    def allows(self, ip: str) -> bool:
        """See DirectoryView."""
        return any(ip in networks(listed) for listed in self._allowing.values())

    def submitters(self, ip: str) -> tuple[Customer, ...]:
        """Return the customers that send from the address without a password: more than one where a provider does."""
        return tuple(each for each in self._sending.values() if ip in networks(each.outbound.addresses))

    def senders(self) -> tuple[Customer, ...]:
        """Return the customers whose mail goes out through us."""
        return tuple(self._sending.values())

    def account(self, name: str) -> tuple[Customer, Account] | None:
        """Return who may send under the name (an address, lower case), None when nobody may.

        Only in a domain that is the customer's: nobody takes another's names by writing them into his own record.
        """
        owner = self.lookup_domain(name.rpartition("@")[2])
        if owner is None or owner[0].id not in self._sending:
            return None
        found = next((each for each in owner[0].outbound.accounts if each.name == name), None)
        return None if found is None else (owner[0], found)

    def _let_go(self, customer: str, digest: str, source: str) -> None:
        """Take one source's word for an address back: it goes with the last of them."""
        known, octets = self._recipients[customer], _hex(digest)
        self._in_groups(customer, octets, source, ())
        left = tuple(other for other in known.get(octets, ()) if other != source)
        if left:
            known[octets] = left
        else:
            known.pop(octets, None)

    def _in_groups(self, customer: str, digest: bytes, source: str, names: tuple[str, ...]) -> None:
        """Keep what a source says of an address, which mostly is nothing."""
        known = self._groups[customer]
        if names:
            known.setdefault(digest, {})[source] = names
        elif digest in known:
            known[digest].pop(source, None)
            if not known[digest]:
                del known[digest]

    def _disown(self, customer: str, keep: frozenset[str]) -> None:
        old = self._customers.get(customer)
        for domain in old.domains if old else ():
            if domain.name in keep:
                continue
            owners = self._owners[domain.name]
            owners.pop(customer, None)
            if not owners:
                del self._owners[domain.name]

    def _replan(self) -> None:
        self._plan = tuple(sorted(name for name, scanner in self._scanners.items() if scanner.required))
