"""Who may send: what is written about it, who is found by it, and how a password is checked."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization

from schemas.catalog import key_of
from schemas.events import (
    Account,
    ClientCertificate,
    Customer,
    Disclaimer,
    Domain,
    Outbound,
    Scanner,
    SenderHold,
    Signal,
)
from services.core import replies
from services.core.canonical import DataDecoder
from services.core.client_certificates import anchors, known_by, shown
from services.core.clock import ManualClock
from services.core.customers import parse_customers
from services.core.directory import Directory
from services.core.errors import ConfigError
from services.core.signals import Kind, Signals
from services.ingress.decide import Sender
from services.ingress.submission import decide, sasl
from services.ingress.submission.config import read
from services.ingress.submission.guards import SubmissionGuards, Submitter
from services.ingress.submission.passwords import PROVED_FOR, QUEUE_MOST, Busy, Passwords, hashed
from services.runtime.fakes import MemoryBus
from services.runtime.fakes_dns import FakeDns
from services.runtime.yaml_tree import parse_tree
from tests.eventually import eventually
from tests.house.authority import made

HASH = "$argon2id$v=19$m=19456,t=2,p=1$eHh4eHh4eHh4eHh4eHh4eA$Ia3ZltxVpAZ2yTiKqfNSDOz9SUtKxRWeBnquXmF7AHg"
PLACE = "customers[0].outbound"


def parse(outbound: str) -> Outbound:
    domain = "{name: a.example, relay: [mx], recipients: any}"
    text = f"customers:\n- id: acme\n  domains: [{domain}]\n  outbound: {outbound}\n"
    (spec,) = parse_customers(parse_tree(text, "gatepost.yaml"))
    return spec.customer.outbound


def test_who_may_send() -> None:
    found = parse(
        f"{{enabled: yes, addresses: [192.0.2.1, 198.51.100.0/28], accounts: [{{name: MTA@A.example, password: "
        f'"{HASH}"}}], policy: {{rules: [{{name: r, when: {{recipients: ["@far.example"], senders: ["@a.example"]}}, '
        "then: delete}]}}"
    )
    assert found.enabled
    assert found.addresses == ("192.0.2.1/32", "198.51.100.0/28")
    assert found.accounts == (Account(name="mta@a.example", password=HASH),)
    assert found.rules[0].when.recipients == ("@far.example",)
    assert parse("{enabled: no}") == Outbound()


def test_limits_and_accounts_of_some_domains() -> None:
    account = f'{{name: mta@a.example, password: "{HASH}", domains: a.example}}'
    found = parse(f"{{enabled: yes, accounts: [{account}], limits: {{sender_messages: 5}}}}")
    assert found.accounts[0].domains == ("a.example",)
    assert (found.sender_messages, found.customer_messages) == (5, 0)


def test_what_is_put_under_it_who_is_told_and_where_it_comes_from() -> None:
    found = parse(
        "{enabled: yes, addresses: [192.0.2.1], notify: [IT@a.example, boss@home.example], pool: bulk, "
        'disclaimer: {text: [A Ltd, "1 Main Street"], html: "<p>A</p>"}}'
    )
    assert found.notify == ("IT@a.example", "boss@home.example")
    assert found.disclaimer == Disclaimer(text="A Ltd\n1 Main Street", html="<p>A</p>")
    assert found.pool == "bulk"


@pytest.mark.parametrize(
    ("written", "expected"),
    {
        "{enabled: no, pool: B!}": f"4: {PLACE}.pool: 'B!' is no name of a pool: 1 to 30 of a-z, 0-9 and -",
        "{enabled: no, notify: [it]}": f"4: {PLACE}.notify[0]: 'it' is not an address: no @ after the local part",
        "{enabled: yes}": f"4: {PLACE}: nobody may send: neither addresses nor accounts nor certificates are given",
        "{addresses: [192.0.2.1]}": f"4: {PLACE}: enabled is missing",
        "{enabled: yes, addresses: [10.0.0.0/8]}": (
            f"4: {PLACE}.addresses[0]: '10.0.0.0/8' is more than the machines of one customer: anybody in it could send"
        ),
        f'{{enabled: yes, accounts: [{{name: x@b.example, password: "{HASH}"}}]}}': (
            f"4: {PLACE}.accounts[0].name: 'x@b.example' is in none of this customer's domains"
        ),
        "{enabled: yes, accounts: [{name: x@a.example, password: secret}]}": (
            f"4: {PLACE}.accounts[0].password: not a hash as `gatepost submission hash-password` prints;"
            " a password itself is never kept"
        ),
        '{enabled: yes, addresses: [192.0.2.1], policy: {rules: [{name: r, when: {senders: ["@b.example"]}, then: '
        "delete}]}}": (
            f"4: {PLACE}.policy.rules[0].when.senders[0]: '@b.example' is in none of this customer's domains, so the"
            " rule never applies"
        ),
    }.items(),
)
def test_a_mistake_is_answered_with_one_line(written: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(written)
    assert str(caught.value) == f"gatepost.yaml:{expected}"


def test_certificates_as_they_are_written(tmp_path: Path) -> None:
    ca = made(tmp_path, "ca.a.example", ca=True)
    leaf = made(tmp_path, "mta.a.example", ca)
    pem = leaf.certificate.public_bytes(serialization.Encoding.PEM).decode().strip().replace("\n", "\n        ")
    text = f"""
    enabled: yes
    certificates:
    - certificate: >-
        {pem}
    - {{ca: {ca.text}, names: MTA.A.example}}"""
    assert parse(text).certificates == (
        ClientCertificate(der=leaf.text),
        ClientCertificate(der=ca.text, names=("mta.a.example",)),
    )
    for written, problem in (
        (f"{{ca: {ca.text}}}", "a ca needs names"),
        (f"{{ca: {leaf.text}, names: [x.example]}}", "not the certificate of a CA"),
        (f"{{certificate: {leaf.text}, names: [x.example]}}", "known by itself"),
        (f"{{certificate: {leaf.text}, ca: {ca.text}}}", "one of certificate and ca"),
        ("{certificate: AAAA}", "not the base64 of a certificate"),
        ("{certificate: secret!}", "not the base64 of a certificate"),
    ):
        with pytest.raises(ConfigError) as caught:
            parse(f"{{enabled: yes, certificates: [{written}]}}")
        assert problem in str(caught.value)


def test_by_which_certificate_a_client_is_whose(tmp_path: Path) -> None:
    ca = made(tmp_path, "ca.a.example", ca=True)
    leaf, other = (made(tmp_path, f"{name}.a.example", ca) for name in ("mta", "www"))
    by_ca = Customer(id="by-ca", outbound=named(ClientCertificate(der=ca.text, names=("mta.a.example",))))
    by_own = Customer(id="by-own", outbound=named(ClientCertificate(der=other.text)))
    known = (by_ca, by_own)
    of_leaf, of_other = shown([leaf.der, ca.der]), shown([other.der, ca.der])
    assert of_leaf is not None
    assert of_other is not None
    assert known_by(known, of_leaf) == (by_ca,)
    assert known_by(known, of_other) == (by_own,)  # of the CA, but under another name
    assert known_by(known, of_leaf._replace(chain=(leaf.der,))) == ()  # nothing vouches for it
    assert shown([]) is None
    assert shown([b"no certificate"]) is None
    assert anchors(known) == (ca.text, other.text)


def named(*certificates: ClientCertificate) -> Outbound:
    return Outbound(enabled=True, certificates=certificates)


def test_the_directory_finds_who_sends_and_forgets_who_no_longer_does() -> None:
    directory = Directory()
    domains = (Domain(name="a.example", relay=()),)
    mta = Account(name="mta@a.example", password=HASH)
    sending = Outbound(enabled=True, addresses=("192.0.2.0/28",), accounts=(mta,))
    acme = Customer(id="acme", domains=domains, outbound=sending)
    thief = Customer(id="thief", domains=(Domain(name="t.example", relay=()),), outbound=sending)
    directory.apply(thief)
    assert directory.account("mta@a.example") is None  # a domain of nobody's
    directory.apply(acme)
    assert directory.account("mta@a.example") == (acme, mta)
    assert directory.account("anna@a.example") is None
    assert directory.submitters("192.0.2.9") == (thief, acme)
    assert directory.submitters("192.0.2.99") == ()
    directory.apply(
        Customer(id="acme", domains=domains, outbound=Outbound(addresses=("192.0.2.0/28",), accounts=(mta,)))
    )
    assert directory.account("mta@a.example") is None
    assert directory.submitters("192.0.2.9") == (thief,)
    directory.remove(Customer, "thief")
    assert directory.submitters("192.0.2.9") == ()


async def test_a_password_that_was_right_counts_for_a_while_under_that_hash_alone() -> None:
    clock = ManualClock()
    passwords = Passwords(2, clock.monotonic, os.urandom)
    phc = hashed(b"correct horse", os.urandom)
    assert await passwords.right("mta@a.example", b"correct horse", phc)
    assert not await passwords.right("mta@a.example", b"wrong", phc)
    assert not await passwords.right("mta@a.example", b"correct horse", None)
    assert not await passwords.right("mta@a.example", b"x" * 2_000, phc)
    # Proved: the hash isn't looked at again, so even one that nothing fits would do until the time is over.
    broken = phc[:-4] + "AAAA"
    assert not await passwords.right("mta@a.example", b"correct horse", broken)
    assert await passwords.right("mta@a.example", b"correct horse", phc)
    clock.advance(PROVED_FOR + 1)
    assert await passwords.right("mta@a.example", b"correct horse", phc)


async def test_no_crowd_of_guesses_takes_the_machine() -> None:
    passwords = Passwords(1, ManualClock().monotonic, os.urandom)
    cheap = "$argon2id$v=19$m=64,t=1,p=1$Z2F0ZXBvc3QtdGVzdGluZw$3d2q3LSl1mVXQvX2kUlG4v3UXNBhlQ3IYB6m0mEJ0xM"
    results = await asyncio.gather(
        *(passwords.right("mta@a.example", b"x", cheap) for _ in range(QUEUE_MOST + 10)), return_exceptions=True
    )
    assert sum(isinstance(result, Busy) for result in results) == 10
    assert not any(result is True for result in results)


def test_what_sasl_says() -> None:
    assert sasl.plain(b"\0MTA@a.example\0p\xc3\xa4ss") == ("mta@a.example", b"p\xc3\xa4ss")
    assert sasl.plain(b"mta@a.example\0mta@a.example\0x").name == "mta@a.example"
    for wrong in (b"", b"\0\0x", b"\0a\0", b"\0a", b"b\0a\0x", b"\0a\0x\0y", b"\0\xff\0x"):
        with pytest.raises(sasl.BadResponse):
            sasl.plain(wrong)


def test_one_name_and_one_certificate_are_enough_for_both_doors() -> None:
    door = {
        "GATEPOST_INGRESS_HOSTNAME": "mx.a.example",
        "GATEPOST_INGRESS_CERT_FOLDER": "/tls",
        "GATEPOST_INGRESS_PORT": "1",
    }
    config = read(door)
    assert (config.hostname, config.cert_folder, config.port) == ("mx.a.example", "/tls", 2587)
    own = {"GATEPOST_SUBMISSION_CERT": "/c", "GATEPOST_SUBMISSION_KEY": "/k"}
    assert (read({**door, **own}).cert, read({**door, **own}).cert_folder) == ("/c", "")
    with pytest.raises(ConfigError, match="GATEPOST_SUBMISSION_AUTH_AT_ONCE"):
        read({"GATEPOST_SUBMISSION_AUTH_AT_ONCE": "0"})


# --- limits and holds


def guards(signals: Signals, clock: ManualClock, **changes: int) -> SubmissionGuards:
    config = msgspec.structs.replace(read({"GATEPOST_SUBMISSION_HOSTNAME": "mx.gatepost.test"}), **changes)
    ports = {"dns": FakeDns(), "directory": Directory(), "signals": signals, "clock": clock}
    return SubmissionGuards(config, publish=lambda _: None, **ports)  # type: ignore[arg-type]  # as named


def sender(path: str, customer: str = "acme") -> Sender:
    return Sender(path, owner=Customer(id=customer))


async def test_what_all_pods_counted_limits_each_of_them() -> None:
    """The other pods took as much as the limit is: this one, which has taken nothing yet, hears of it by a signal."""
    bus, signals, clock = MemoryBus(), Signals(), ManualClock()
    doors = guards(signals, clock)
    await doors.start(bus)
    assert doors.too_much("192.0.2.1", sender("anna@a.example")) is None
    told = {
        Kind.SUBMIT_SENDER: ("anna@a.example", "sender-rate", replies.TOO_MANY_SENT),
        Kind.SUBMIT_ADDRESS: ("192.0.2.1", "address-rate", replies.TOO_MANY_MESSAGES),
        Kind.SUBMIT_CUSTOMER: ("acme", "customer-rate", replies.CUSTOMER_TOO_MUCH),
    }

    def known(kind: Kind, subject: str) -> bool:
        return signals.active(kind, subject, clock.now()) is not None

    for kind, (subject, reason, reply) in told.items():
        until = clock.now() + 60
        signal = Signal(subject=subject, kind=kind, count=500, window_s=600, until=until, at=clock.now())
        await bus.publish([signal])
        await eventually(partial(known, kind, subject))
        refusal = doors.too_much("192.0.2.1", sender("Anna@A.example"))
        assert refusal is not None
        assert (refusal.reason, refusal.reply, refusal.customer) == (reason, reply, "acme")
        assert doors.too_much("192.0.2.2", sender("bert@a.example", "zeta")) is None  # others are not touched
        signals.remove(key_of(signal))
    await doors.close()


async def test_the_quick_count_of_one_process_knows_customers_too() -> None:
    doors = guards(Signals(), ManualClock(), customer_messages=2)
    for path, address in (("a@a.example", "192.0.2.1"), ("b@a.example", "192.0.2.2")):
        assert doors.too_much(address, sender(path)) is None
    refusal = doors.too_much("192.0.2.3", sender("c@a.example"))
    assert refusal is not None
    assert refusal.reason == "customer-rate"
    assert doors.too_much("192.0.2.3", sender("c@z.example", "zeta")) is None


async def test_a_customers_own_limit_counts_where_it_is_lower() -> None:
    doors = guards(Signals(), ManualClock(), sender_messages=3)
    own = Customer(id="acme", outbound=Outbound(sender_messages=1, customer_messages=2))
    more = Customer(id="zeta", outbound=Outbound(sender_messages=9))

    def sent(path: str, customer: Customer) -> str:
        refusal = doors.too_much("192.0.2.1", Sender(path, owner=customer))
        return "" if refusal is None else refusal.reason

    assert [sent("a@a.example", own), sent("a@a.example", own)] == ["", "sender-rate"]
    assert [sent("b@a.example", own), sent("c@a.example", own)] == ["", "customer-rate"]
    assert [sent("z@z.example", more) for _ in range(4)] == ["", "", "", "sender-rate"]


async def test_an_account_that_is_limited_to_domains_sends_for_no_other() -> None:
    directory = Directory()
    names = ("a.example", "b.example")
    account = Account(name="mta@a.example", password=HASH, domains=("a.example", "gone.example"))
    domains = tuple(Domain(name=name, relay=()) for name in names)
    directory.apply(Customer(id="acme", domains=domains, outbound=Outbound(enabled=True, accounts=(account,))))
    directory.apply(Scanner(name="virus", version="1"))
    directory.caught_up()
    config = read({"GATEPOST_SUBMISSION_HOSTNAME": "mx.gatepost.test"})
    doors = SubmissionGuards(
        config,
        dns=FakeDns(),
        directory=directory,
        signals=Signals(),
        clock=ManualClock(),
        publish=lambda _: None,
    )
    visitor = Submitter(doors, "192.0.2.1")
    visitor.account = account.name
    found = {
        name: decide.sender(f"FROM:<x@{name}>", visitor.customers(), visitor.submitter, directory, config)
        for name in (*names, "gone.example")
    }
    assert [getattr(each, "reason", "") for each in found.values()] == [
        "",
        "foreign-sender",
        "foreign-sender",
    ]
    null = decide.sender("FROM:<>", visitor.customers(), visitor.submitter, directory, config)
    for sender in (found["a.example"], null):
        assert isinstance(sender, Sender)
        assert sender.owner is not None
        for name, reason in (("a.example", ""), ("b.example", "foreign-from")):
            decoder = DataDecoder()
            decoder.feed(f"From: x@{name}\r\n\r\nhello\r\n.\r\n".encode())
            refusal = decide.content(decoder, sender.owner)
            assert ("" if refusal is None else refusal.reason) == reason


async def test_who_is_held_sends_nothing_until_the_hold_is_lifted() -> None:
    bus = MemoryBus()
    hold = SenderHold(customer="acme", sender="anna@a.example", held=True, why="much", by="signals", at=0.0)
    await bus.publish([hold])  # before the door opens: it opens once it knows
    doors = guards(Signals(), ManualClock())
    await doors.start(bus)
    refusal = doors.stopped(sender("ANNA@a.example"), "")
    assert refusal is not None
    assert (refusal.reason, str(refusal.reply)[:9], refusal.customer) == ("sender-held", "450 4.7.1", "acme")
    assert doors.stopped(sender("bert@a.example"), "anna@a.example") is not None  # the account that signed in
    assert doors.stopped(sender("bert@a.example"), "") is None
    assert doors.stopped(sender("anna@a.example", "zeta"), "") is None
    await bus.publish([msgspec.structs.replace(hold, held=False)])
    await eventually(lambda: doors.stopped(sender("anna@a.example"), "") is None)
    await doors.close()
