"""From the customers that are written to what must be published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from schemas.catalog import CUSTOMERS, RECIPIENTS, key_of
from schemas.events import Customer, Domain, Event, Host, LdapSource, Recipient
from services.core.address import parse
from services.core.customers import CustomerSpec, example
from services.core.directory import Directory, recipient_digest
from services.runtime.bus import Tombstone
from services.runtime.customers_plan import plan

RELAY = (Host(host="mx"),)


def spec(name: str, *domains: str, recipients: Sequence[str] = ()) -> CustomerSpec:
    found = tuple(Domain(name=domain, relay=RELAY, any_recipient=not recipients) for domain in domains)
    return CustomerSpec(Customer(id=name, domains=found), tuple(recipients))


class Topics:
    """The two topics, and the directory of a service that follows them."""

    def __init__(self) -> None:
        self.customers: dict[str, Customer] = {}
        self.recipients: dict[str, Recipient] = {}
        self.directory = Directory()
        self._salts = iter(range(1, 100))

    def plan(self, *specs: CustomerSpec) -> list[Event | Tombstone]:
        return plan(specs, self.customers, self.recipients, lambda octets: next(self._salts).to_bytes(octets))

    def apply(self, *specs: CustomerSpec, ask: Iterable[str] = ()) -> list[Event | Tombstone]:
        """Publish item by item; the addresses that are asked for are known after each."""
        items = self.plan(*specs)
        for item in items:
            match item:
                case Customer():
                    self.customers[item.id] = item
                    self.directory.apply(item)
                case Recipient():
                    self.recipients[key_of(item)] = item
                    self.directory.apply(item)
                case Tombstone():
                    table: dict[str, Customer] | dict[str, Recipient] = (
                        self.customers if item.topic is CUSTOMERS else self.recipients
                    )
                    del table[item.key]
                    self.directory.remove(item.topic.struct, item.key)
            assert [address for address in ask if not self.known(address)] == [], item
        return items

    def known(self, text: str) -> bool:
        address = parse(text)
        found = self.directory.lookup_domain(address.domain)
        return found is not None and self.directory.recipient_known(*found, address)


def test_a_new_customer_gets_a_salt_and_its_recipients_come_first() -> None:
    topics = Topics()
    recipient, customer = topics.apply(spec("a", "a.example", recipients=["x@a.example"]))
    assert isinstance(customer, Customer)
    assert customer.salt == "00000000000000000000000000000001"
    assert recipient == Recipient(customer="a", digest=recipient_digest(customer.salt, "x@a.example"))
    assert topics.known("X@A.example")
    assert not topics.known("y@a.example")


def test_the_same_file_again_changes_nothing() -> None:
    topics = Topics()
    specs = [spec("a", "a.example", recipients=["x@a.example"]), example(2626)]
    assert topics.apply(*specs)
    assert topics.plan(*specs) == []


def test_a_change_keeps_the_salt_and_publishes_only_what_changed() -> None:
    topics = Topics()
    topics.apply(spec("a", "a.example", recipients=["x@a.example", "y@a.example"]), spec("b", "b.example"))
    salt = topics.customers["a"].salt
    items = topics.apply(
        spec("a", "a.example", recipients=["x@a.example", "z@a.example"]),
        spec("b", "b.example"),
        ask=["x@a.example", "x@b.example"],
    )
    assert items == [
        Recipient(customer="a", digest=recipient_digest(salt, "z@a.example")),
        Tombstone(RECIPIENTS, f"a/{recipient_digest(salt, 'y@a.example')}"),
    ]
    assert topics.customers["a"].salt == salt


def test_a_customer_that_is_no_longer_written_goes_with_its_recipients() -> None:
    topics = Topics()
    topics.apply(spec("a", "a.example", recipients=["x@a.example"]), spec("b", "b.example"))
    (key,) = topics.recipients
    assert topics.apply(spec("b", "b.example"), ask=["x@b.example"]) == [
        Tombstone(CUSTOMERS, "a"),
        Tombstone(RECIPIENTS, key),
    ]
    assert not topics.known("x@a.example")


def test_from_any_recipient_to_a_list_nobody_on_the_list_is_refused_on_the_way() -> None:
    topics = Topics()
    topics.apply(spec("a", "a.example"))
    topics.apply(spec("a", "a.example", recipients=["x@a.example"]), ask=["x@a.example"])
    topics.apply(spec("a", "a.example"), ask=["x@a.example"])
    assert topics.recipients == {}


def test_a_domain_that_moves_is_somebody_s_all_the_time() -> None:
    topics = Topics()
    topics.apply(spec("a", "a.example", "moves.example"), spec("b", "b.example"))
    topics.apply(spec("a", "a.example"), spec("b", "b.example", "moves.example"), ask=["x@moves.example"])
    found = topics.directory.lookup_domain("moves.example")
    assert found is not None
    assert found[0].id == "b"


def test_a_domain_of_a_customer_that_goes_is_somebody_s_all_the_time() -> None:
    topics = Topics()
    topics.apply(spec("a", "moves.example"))
    topics.apply(spec("b", "moves.example", recipients=["x@moves.example"]), ask=["x@moves.example"])
    assert list(topics.customers) == ["b"]


def test_recipients_of_other_sources_stay_as_long_as_customer_and_source_do() -> None:
    topics = Topics()
    directory = (LdapSource(name="x", url="ldaps://ldap.a.example", base="dc=a"),)
    written = spec("a", "a.example", recipients=["x@a.example"])
    with_ldap = CustomerSpec(msgspec.structs.replace(written.customer, directory=directory), written.recipients)
    topics.apply(with_ldap)
    for source in ("csv", "ldap:x"):
        event = Recipient(customer="a", digest="00", source=source)
        topics.recipients[key_of(event)] = event
    assert topics.plan(with_ldap) == []
    assert [item for item in topics.plan(written) if isinstance(item, Tombstone)] == [
        Tombstone(RECIPIENTS, "a/00/ldap:x")
    ]
    gone = {item.key for item in topics.plan(spec("b", "b.example")) if isinstance(item, Tombstone)}
    assert {"a/00/csv", "a/00/ldap:x"} < gone
