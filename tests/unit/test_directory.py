"""The directory in memory: what the topics say is what the lookups answer."""

from __future__ import annotations

import pytest

from schemas.events import Customer, Domain, Host, Recipient, Rejection, Scanner
from services.core.address import parse
from services.core.directory import Directory, recipient_digest
from services.core.errors import UnreadableEvent

SALT = "00112233445566778899aabbccddeeff"
RELAY = (Host(host="mx.acme.test"),)


def domain(name: str, *, any_recipient: bool = False) -> Domain:
    return Domain(name=name, relay=RELAY, any_recipient=any_recipient)


def acme(*names: str, customer: str = "acme") -> Customer:
    return Customer(id=customer, salt=SALT, domains=tuple(domain(name) for name in names))


def recipient(address: str) -> Recipient:
    return Recipient(customer="acme", digest=recipient_digest(SALT, address))


def known(directory: Directory, address: str) -> bool:
    parsed = parse(address)
    found = directory.lookup_domain(parsed.domain)
    return found is not None and directory.recipient_known(*found, parsed)


def test_an_address_is_known_once_its_event_is_applied_and_unknown_after_its_tombstone() -> None:
    directory = Directory()
    directory.apply(acme("acme.test"))
    assert not known(directory, "anna@acme.test")
    event = recipient("Anna@ACME.test")
    directory.apply(event)
    assert known(directory, "anna@acme.test")
    assert known(directory, "ANNA@acme.test")
    assert not known(directory, "bert@acme.test")
    directory.remove(Recipient, f"acme/{event.digest}")
    assert not known(directory, "anna@acme.test")


def test_an_address_goes_with_the_last_source_that_knows_it() -> None:
    directory = Directory()
    directory.apply(acme("acme.test"))
    event = recipient("anna@acme.test")
    for source in ("", "csv", "ldap:x", "csv"):
        directory.apply(Recipient(customer="acme", digest=event.digest, source=source))
    for key in (f"{event.digest}", f"{event.digest}/csv", f"{event.digest}/csv", f"{event.digest}/ldap:y"):
        directory.remove(Recipient, f"acme/{key}")
        assert known(directory, "anna@acme.test")
    directory.remove(Recipient, f"acme/{event.digest}/ldap:x")
    assert not known(directory, "anna@acme.test")


def test_postmaster_is_always_known_and_only_in_our_domains() -> None:
    directory = Directory()
    directory.apply(acme("acme.test"))
    assert known(directory, "PostMaster@acme.test")
    assert not known(directory, "postmaster@elsewhere.test")


def test_a_domain_for_any_recipient_knows_everybody() -> None:
    directory = Directory()
    directory.apply(Customer(id="acme", domains=(domain("acme.test", any_recipient=True),)))
    assert known(directory, "whoever@acme.test")


def test_a_changed_customer_loses_the_domains_that_it_no_longer_names() -> None:
    directory = Directory()
    directory.apply(acme("one.test", "two.test"))
    directory.apply(acme("two.test", "three.test"))
    assert directory.lookup_domain("one.test") is None
    assert directory.lookup_domain("two.test") is not None
    assert directory.lookup_domain("three.test") is not None
    directory.remove(Customer, "acme")
    assert directory.lookup_domain("two.test") is None
    assert directory.customers() == ()


def test_a_claimed_domain_stays_with_its_first_owner_until_that_one_lets_it_go() -> None:
    directory = Directory()
    directory.apply(acme("acme.test"))
    directory.apply(acme("acme.test", customer="thief"))
    directory.apply(acme("acme.test"))  # the owner writes its file again: it stays the owner
    found = directory.lookup_domain("acme.test")
    assert found is not None
    assert found[0].id == "acme"
    directory.apply(acme())
    found = directory.lookup_domain("acme.test")
    assert found is not None
    assert found[0].id == "thief"


def test_the_plan_is_the_required_scanners_sorted() -> None:
    directory = Directory()
    assert directory.plan() == ()
    for name, required in (("virus", True), ("auth", True), ("trial", False)):
        directory.apply(Scanner(name=name, version="1", required=required))
    assert directory.plan() == ("auth", "virus")
    directory.remove(Scanner, "virus")
    assert directory.plan() == ("auth",)


def test_it_is_ready_only_after_it_has_caught_up() -> None:
    directory = Directory()
    assert not directory.ready()
    directory.caught_up()
    assert directory.ready()


def test_a_digest_depends_on_the_salt() -> None:
    assert recipient_digest("00", "a@b.test") != recipient_digest("01", "a@b.test")


@pytest.mark.parametrize("event", [Customer(id="acme", salt="salt"), Recipient(customer="acme", digest="zz")])
def test_what_is_not_hex_is_refused_before_anything_changes(event: Customer | Recipient) -> None:
    directory = Directory()
    with pytest.raises(UnreadableEvent):
        directory.apply(event)
    assert directory.customers() == ()


def test_other_events_are_a_mistake_of_the_caller() -> None:
    rejection = Rejection(client_ip="127.0.0.1", at=0.0, reason="x", reply="x")
    with pytest.raises(TypeError):
        Directory().apply(rejection)
    with pytest.raises(TypeError):
        Directory().remove(Rejection, "x")
