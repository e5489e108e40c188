"""What differs for a customer's own mail on its way out, in each part that it comes through."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pytest

from schemas.events import (
    Action,
    Branch,
    Customer,
    Direction,
    Disposition,
    Domain,
    Evidence,
    Host,
    Match,
    Outbound,
    Pending,
    Received,
    Rule,
    Status,
    Verdict,
)
from services.core import dkim
from services.core.clock import ManualClock
from services.core.compose import compose
from services.core.direction import plan_of
from services.core.errors import ConfigError, KeyDestroyed, StoreUnavailable
from services.core.exemption import policy_version
from services.delivery.config import DeliveryConfig, smarthosts
from services.delivery.decide import fresh, goes_anywhere, hosts_of
from services.delivery.destinations import Destinations
from services.delivery.hops import Hops, NoMail
from services.delivery.session import Letter
from services.delivery.shelf import Brief
from services.delivery.sign import Signing
from services.delivery.vouch import vouched
from services.policy.decide import decide
from services.runtime.dkim_keys import DkimKeys
from services.runtime.fakes_dns import FakeDns
from services.runtime.fakes_store import MemoryStore
from services.scanners.auth.dkim import Verifier, signatures
from services.scanners.decide import wanted
from services.scanners.mime import walk
from services.signals.decide import sightings
from tests.samples import NOW, received, verdict

ACME = Customer(id="example", domains=(Domain(name="example.test", relay=(Host(host="mx.example.test"),)),))
MESSAGE = b"X-Gatepost: forged\r\nFrom: bob@example.test\r\nSubject: x\r\n\r\nbody\r\n"


def going_out(**changes: Any) -> Received:
    changes = {"domain": "far.test", "plan": ("virus",), "submitter": "mta@example.test", **changes}
    return received(direction=Direction.OUTBOUND, **changes)


def decided(event: Received, customer: Customer, *verdicts: Verdict) -> Disposition:
    answer = decide(Pending(id=event.id, received=event, origin=0, verdicts=verdicts), customer, NOW)
    assert isinstance(answer, Disposition)
    return answer


# --- scanning and policy


def test_who_a_stranger_is_is_asked_of_no_mail_that_goes_out() -> None:
    plan = ("auth", "content", "impersonation", "virus")
    assert plan_of(Direction.OUTBOUND, plan) == ("content", "virus")
    assert plan_of(Direction.INBOUND, plan) == plan
    event = going_out()
    assert wanted(event, "auth") is None
    assert wanted(event, "virus") is event
    assert wanted(received(), "auth") is not None


def test_inbound_rules_and_inbound_scanners_say_nothing_about_it() -> None:
    customer = msgspec.structs.replace(ACME, rules=(Rule(name="all", action=Action.DELETE),))
    event = going_out()
    found = (Evidence(code="DMARC_REJECT", text="found", score=20.0),)
    spoofed = verdict(event, "auth", Status.PHISHING, score=20.0, evidence=found)
    (branch,) = decided(event, customer, spoofed, verdict(event, "virus", Status.CLEAN)).branches
    assert (branch.action, branch.rule) == (Action.DELIVER, "default")


@pytest.mark.parametrize("status", [Status.VIRUS, Status.PHISHING, Status.SPAM])
def test_what_bears_the_customers_name_and_is_bad_is_held(status: Status) -> None:
    event = going_out()
    (branch,) = decided(event, ACME, verdict(event, "virus", status)).branches
    assert branch.action is Action.QUARANTINE


def test_rules_of_its_own_apply_and_a_release_knows_their_version() -> None:
    rule = Rule(name="never there", when=Match(recipients=("@far.test",)), action=Action.QUARANTINE)
    customer = msgspec.structs.replace(ACME, outbound=Outbound(rules=(rule,)))
    event = going_out(
        envelope=msgspec.structs.replace(received().envelope, recipients=("v@far.test",), reverse_path="b@example.test")
    )
    (branch,) = decided(event, customer, verdict(event, "virus", Status.CLEAN)).branches
    assert branch.rule == "never there"
    assert policy_version(customer) != policy_version(ACME)


def test_it_counts_in_no_window_of_the_front_door() -> None:
    assert {each.kind for each in sightings(going_out())} <= {"submit-address", "submit-sender", "submit-customer"}
    assert sightings(received()) != ()


# --- what is sent


def test_nothing_of_what_we_thought_of_it_is_told_and_the_trace_says_that_a_password_was_given() -> None:
    event = going_out()
    branch = Branch(recipients=("v@far.test",), action=Action.DELIVER, rule="default", reason="")
    disposition = Disposition(received=event, branches=(branch,), status=Status.CLEAN, score=1.0, decided_at=NOW)
    sent = b"".join(compose(disposition, branch, MESSAGE, hostname="gp.test"))
    assert sent.startswith(b"Received: from ")
    assert b" with ESMTPA" in sent.split(b"\r\nFrom:")[0].replace(b"\r\n", b"")
    assert b"x-gatepost" not in sent.lower()
    assert b"Authentication-Results" not in sent
    assert sent.endswith(b"From: bob@example.test\r\nSubject: x\r\n\r\nbody\r\n")


def test_it_goes_by_mx_and_within_the_customer_to_its_own_mta() -> None:
    assert goes_anywhere(going_out())
    assert not goes_anywhere(received())
    assert hosts_of(ACME, "far.test", anywhere=True) == (Host(host="far.test", lookup="mx"),)
    assert hosts_of(ACME, "example.test", anywhere=True) == ACME.domains[0].relay
    assert hosts_of(ACME, "far.test") == ()
    assert hosts_of(ACME, "far.test", "x@near.test", anywhere=True) == (Host(host="near.test", lookup="mx"),)


def test_a_smarthost_takes_all_that_would_go_by_mx_and_nothing_of_the_customers_own_domains() -> None:
    smarthost = smarthosts("smart.test:2525")
    config = DeliveryConfig(hostname="gp.test", smarthost="smart.test:2525")
    destinations = Destinations(config, {"example": ACME}.get)

    def way(event: Received) -> tuple[Host, ...]:
        branch = Branch(recipients=("v@far.test",), action=Action.DELIVER, rule="default", reason="")
        disposition = Disposition(received=event, branches=(branch,), status=Status.CLEAN, score=0.0, decided_at=NOW)
        entry = fresh(disposition, 0, branch.recipients)
        small = msgspec.json.decode(msgspec.json.encode(entry), type=Brief)
        assert destinations.route(small) == destinations.route(entry)  # what is loaded goes the same way
        return destinations.route(entry)[1]

    assert way(going_out()) == smarthost
    assert way(going_out(domain="example.test")) == ACME.domains[0].relay
    assert way(received(domain="example.test")) == ACME.domains[0].relay
    assert way(received(domain="far.test")) == ()


def test_its_sender_is_told_and_the_null_sender_never() -> None:
    def disposition(reverse_path: str, **changes: Any) -> Disposition:
        envelope = msgspec.structs.replace(received().envelope, reverse_path=reverse_path)
        event = received(envelope=envelope, **changes)
        return Disposition(received=event, branches=(), status=Status.SPAM, score=0.0, decided_at=NOW)

    assert vouched(disposition("bob@example.test", direction=Direction.OUTBOUND))
    assert not vouched(disposition("", direction=Direction.OUTBOUND))
    assert not vouched(disposition("bob@example.test"))


# --- the way to the Internet


async def hosts(records: Mapping[tuple[str, str], tuple[str, ...]], **about: Any) -> list[str]:
    dns = FakeDns({(name, kind): answer for (name, kind), answer in records.items()})
    found = await Hops(dns, own=("GP.test",), **about).expand([Host(host="far.test", lookup="mx")])
    return [f"{host.host}:{host.port}" for host in sorted(found, key=lambda host: host.preference)]


async def test_hosts_behind_ourselves_would_send_it_back() -> None:
    records = {("far.test", "MX"): ("10 mx1.far.test", "20 gp.test", "20 mx2.far.test", "30 mx3.far.test")}
    assert await hosts(records) == ["mx1.far.test:25"]
    with pytest.raises(NoMail, match="comes back") as caught:
        await hosts({("far.test", "MX"): ("10 gp.test", "20 mx2.far.test")})
    assert caught.value.status == "5.4.6"


async def test_another_customers_mail_goes_through_our_own_front_door() -> None:
    records = {("far.test", "MX"): ("10 gp.test",)}
    assert await hosts(records, hosted=lambda name: name == "far.test") == ["gp.test:25"]


async def test_the_port_of_the_others_may_be_set() -> None:
    assert await hosts({("far.test", "MX"): ("10 mx1.far.test",)}, port=2525) == ["mx1.far.test:2525"]
    assert await hosts({("far.test", "A"): ("192.0.2.1",)}, port=2525) == ["far.test:2525"]


# --- signing


def letter(body: bytes = b"body\r\n") -> Letter:
    parts = [b"Received: x\r\n", b"From: bob@example.test\r\nSubject: x\r\n", b"\r\n" + body]
    return Letter("bob@example.test", ("v@far.test",), parts, sum(map(len, parts)), eight_bit=False)


def results(sent: Letter, records: dict[str, str]) -> list[str]:
    tree = walk(b"".join(sent.parts))
    verifier = Verifier(tree.fields, bytes(tree.body), NOW)
    return [verifier.check(each, [records[each.key_name].encode()]).result for each in signatures(tree.fields)]


def signing(keys: DkimKeys, clock: ManualClock) -> Callable[[Received, Letter], Awaitable[Letter]]:
    sign, branch = Signing(keys, clock, "gp.test"), Branch(recipients=(), action=Action.DELIVER, rule="r", reason="")

    def of(event: Received, letter: Letter) -> Awaitable[Letter]:
        disposition = Disposition(received=event, branches=(branch,), status=Status.CLEAN, score=0.0, decided_at=NOW)
        return sign(disposition, branch, letter)

    return of


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def keys(store: MemoryStore, clock: ManualClock) -> DkimKeys:
    return DkimKeys(store, b"m" * 32, clock, os.urandom)


async def test_keys_sign_once_they_are_in_use_and_a_change_of_keys_leaves_no_gap(
    keys: DkimKeys, clock: ManualClock
) -> None:
    sign = signing(keys, clock)
    assert await sign(going_out(), letter()) == letter()  # no keys at all
    made = await keys.make("example", "example.test")
    assert [each.name for each in made] == ["gp1._domainkey.example.test", "gp1e._domainkey.example.test"]
    clock.advance(61)
    assert await sign(going_out(), letter()) == letter()  # not in use
    await keys.use("example", "example.test", "gp1")
    records = {each.name: each.stored.record for each in made}
    sent = await sign(going_out(), letter())
    assert results(sent, records) == ["pass", "pass"]
    assert sent.size == sum(map(len, sent.parts))
    assert await sign(going_out(customer="other"), letter()) == letter()  # another's keys

    second = await keys.make("example", "example.test")
    records |= {each.name: each.stored.record for each in second}
    with pytest.raises(ConfigError, match="gp1 and gp2"):
        await keys.make("example", "example.test")
    await keys.use("example", "example.test", "gp2")
    assert results(await sign(going_out(), letter()), records) == ["pass", "pass"]
    with pytest.raises(ConfigError, match="in use"):
        await keys.remove("example", "example.test", "gp2")
    assert await keys.remove("example", "example.test", "gp1") == 2
    assert [each.stored.selector for each in await keys.make("example", "example.test")] == [
        "gp1", "gp1e",
    ]  # fmt: skip


async def test_a_long_body_is_signed_too(keys: DkimKeys, clock: ManualClock) -> None:
    made = await keys.make("example", "example.test")
    await keys.use("example", "example.test", "gp1")
    sent = await signing(keys, clock)(going_out(), letter(b"line of text \r\n" * 20_000))
    assert results(sent, {each.name: each.stored.record for each in made}) == ["pass", "pass"]


async def test_without_its_keys_a_message_waits_and_never_goes_unsigned(
    keys: DkimKeys, clock: ManualClock, store: MemoryStore
) -> None:
    await keys.make("example", "example.test")
    await keys.use("example", "example.test", "gp1")
    store.down = True
    with pytest.raises(StoreUnavailable):
        await signing(keys, clock)(going_out(), letter())
    store.down = False
    stranger = DkimKeys(store, b"n" * 32, clock, os.urandom)
    with pytest.raises(StoreUnavailable, match="can't be opened"):
        await signing(stranger, clock)(going_out(), letter())
    with pytest.raises(KeyDestroyed):
        await stranger.signing("example", "example.test")


async def test_no_private_key_lies_in_the_store_as_it_is(keys: DkimKeys, store: MemoryStore) -> None:
    await keys.make("example", "example.test")
    await keys.use("example", "example.test", "gp1")
    for key in await keys.signing("example", "example.test"):
        octets = dkim.packed(key.private)
        assert not any(octets[40:80] in bytes(held) for held in store.objects.values())
