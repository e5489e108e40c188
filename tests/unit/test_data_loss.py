"""What follows from a data-loss rule that is met: in policy, at delivery, and for the customer's people."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.events import (
    Action,
    Audit,
    Branch,
    Customer,
    DataRule,
    Direction,
    Disposition,
    Domain,
    Envelope,
    Evidence,
    Host,
    Outbound,
    Pending,
    Received,
    Rule,
    State,
    Status,
    Verdict,
)
from services.core.branches import deals
from services.core.clock import ManualClock
from services.core.customers import parse_customers
from services.core.direction import plan_of
from services.core.errors import ConfigError
from services.core.stored import pack
from services.delivery.budget import Budget
from services.delivery.config import DeliveryConfig
from services.delivery.copies import Copies
from services.delivery.decide import ended, fresh, hosts_of, refusal, to_deliver, where_of
from services.delivery.destinations import Destinations
from services.delivery.hops import Hop
from services.delivery.notices import Notices
from services.delivery.shelf import Brief
from services.delivery.sts import Sts
from services.delivery.tls import DANE, STS, VERIFIED, Demands
from services.policy.data_loss import audited
from services.policy.decide import Hold, decide, deleted
from services.runtime.fakes_dns import FakeDns
from services.runtime.fakes_store import MemoryStore
from services.runtime.yaml_tree import parse_tree
from services.scanners.decide import wanted
from tests.samples import NOW, received, verdict

RELAY = (Host(host="mx.example.test"),)
BLOCK = DataRule(name="cards", then="block", numbers=("card",))
HOLD = DataRule(name="ibans", then="quarantine", numbers=("iban",))
ENCRYPT = DataRule(name="names", then="encrypt", words=("anna",), bcc=("watch@example.test",))
FOUND = "payment card number ending in 1111 in list.csv"


def customer(*rules: DataRule, **changes: Any) -> Customer:
    outbound = Outbound(enabled=True, data_loss=rules, notify=("boss@example.test",))
    return Customer(id="example", domains=(Domain(name="example.test", relay=RELAY),), outbound=outbound, **changes)


def going_out(**changes: Any) -> Received:
    envelope = Envelope(reverse_path="bob@example.test", recipients=("v@far.test", "w@far.test"), client_ip="192.0.2.7")
    about = {"domain": "far.test", "plan": ("dlp", "virus"), "envelope": envelope, "direction": Direction.OUTBOUND}
    return received(**{**about, **changes})


def decided(event: Received, whose: Customer, *codes: str, more: tuple[Verdict, ...] = ()) -> Disposition:
    met = tuple(Evidence(code=code, text=FOUND) for code in codes)
    said = verdict(event, "dlp", Status.CLEAN, evidence=met)
    verdicts = (said, verdict(event, "virus", Status.CLEAN), *more) if not more else (said, *more)
    answer = decide(Pending(id=event.id, received=event, origin=0, verdicts=verdicts), whose, NOW)
    assert isinstance(answer, Disposition)
    return answer


# --- which mail


def test_only_what_goes_out_is_looked_at() -> None:
    assert plan_of(Direction.INBOUND, ("auth", "dlp", "virus")) == ("auth", "virus")
    assert plan_of(Direction.OUTBOUND, ("auth", "dlp", "virus")) == ("dlp", "virus")
    assert wanted(going_out(), "dlp") is not None
    assert wanted(received(), "dlp") is None


def test_what_an_older_door_planned_for_incoming_mail_is_answered() -> None:
    assert wanted(received(plan=("dlp", "virus")), "dlp") is not None


# --- policy


def test_a_block_is_refused_and_its_administrator_hears_of_it() -> None:
    event = going_out()
    disposition = decided(event, customer(BLOCK), "DLP_CARDS")
    (branch,) = disposition.branches
    assert branch == Branch(
        recipients=("v@far.test", "w@far.test"),
        action=Action.DELETE,
        rule="cards",
        reason=FOUND,
        refuse=True,
        notify=("boss@example.test",),
    )
    assert deals(branch) is Action.DELIVER  # it has its outcome from delivery
    assert to_deliver(disposition) == [0]
    assert deleted(disposition, NOW) is None


def test_a_rule_of_the_customers_own_cant_let_out_what_a_data_loss_rule_stops() -> None:
    lax = Outbound(enabled=True, data_loss=(BLOCK,), rules=(Rule(name="all", action=Action.DELIVER),))
    whose = msgspec.structs.replace(customer(), outbound=lax)
    (branch,) = decided(going_out(), whose, "DLP_CARDS").branches
    assert branch.refuse


def test_what_stops_goes_before_what_only_changes_the_way() -> None:
    (branch,) = decided(going_out(), customer(ENCRYPT, HOLD), "DLP_NAMES", "DLP_IBANS").branches
    assert (branch.action, branch.rule, branch.notify) == (Action.QUARANTINE, "ibans", ("boss@example.test",))


def test_what_must_be_encrypted_is_still_held_for_a_virus_and_stays_so_when_it_is_let_go() -> None:
    event = going_out()
    sick = verdict(event, "virus", Status.VIRUS)
    (branch,) = decided(event, customer(ENCRYPT), "DLP_NAMES", more=(sick,)).branches
    assert (branch.action, branch.rule, branch.encrypt) == (Action.QUARANTINE, "virus", True)


def test_encrypt_and_copy_let_it_go() -> None:
    (branch,) = decided(going_out(), customer(ENCRYPT), "DLP_NAMES").branches
    assert (branch.action, branch.encrypt, branch.bcc) == (Action.DELIVER, True, ("watch@example.test",))
    assert branch.notify == ()


def test_a_rule_may_be_about_some_recipients_alone() -> None:
    rule = msgspec.structs.replace(BLOCK, recipients=("w@far.test",))
    passed, refused = decided(going_out(), customer(rule), "DLP_CARDS").branches
    assert (passed.recipients, passed.action) == (("v@far.test",), Action.DELIVER)
    assert (refused.recipients, refused.refuse) == (("w@far.test",), True)


def test_where_scanners_that_fail_are_passed_over_it_must_be_encrypted_all_the_same() -> None:
    event = going_out()
    silent = verdict(event, "virus", Status.UNAVAILABLE)
    lax = customer(ENCRYPT, hold_unscanned=False, unscanned=Action.DELIVER)
    (branch,) = decided(event, lax, "DLP_NAMES", more=(silent,)).branches
    assert (branch.rule, branch.encrypt) == ("unscanned", True)


def test_auditors_read_the_rule_and_what_was_found_masked() -> None:
    event = going_out()
    said = verdict(event, "dlp", Status.CLEAN, evidence=(Evidence(code="DLP_CARDS", text=FOUND),))
    disposition = decided(event, customer(BLOCK), "DLP_CARDS")
    subject = f"{event.id} DLP_CARDS: {FOUND} (blocked)"
    (line,) = audited(disposition, (said,))
    assert line == Audit(customer="example", what="data-loss", subject=subject, by="policy", at=NOW)


def test_a_message_that_was_planned_without_the_scanner_waits_until_it_has_looked() -> None:
    event = going_out(plan=("virus",))
    fine = verdict(event, "virus", Status.CLEAN)
    pending = Pending(id=event.id, received=event, origin=0, verdicts=(fine,))
    assert decide(pending, customer(BLOCK), NOW) == Hold(ask=("dlp",))
    assert isinstance(decide(pending, customer(), NOW), Disposition)  # without rules nobody needs to look
    met = verdict(event, "dlp", Status.CLEAN, evidence=(Evidence(code="DLP_CARDS", text=FOUND),))
    answer = decide(msgspec.structs.replace(pending, verdicts=(fine, met)), customer(BLOCK), NOW)
    assert isinstance(answer, Disposition)
    assert answer.branches[0].refuse


# --- delivery


async def put(store: MemoryStore, event: Received) -> None:
    message = b"From: bob@example.test\r\nSubject: the list\r\n\r\n4111111111111111\r\n"
    await store.put(event.key, [pack(msgspec.structs.replace(event, size=len(message))), message])


def entry_of(branch: Branch) -> Any:
    event = going_out()
    disposition = Disposition(received=event, branches=(branch,), status=Status.CLEAN, score=0.0, decided_at=NOW)
    return fresh(disposition, 0, branch.recipients)


def test_what_must_be_encrypted_waits_apart_and_its_way_is_the_same_after_a_restart() -> None:
    destinations = Destinations(DeliveryConfig(hostname="gp.test"), {"example": customer()}.get)
    plain = Branch(recipients=("v@far.test",), action=Action.DELIVER, rule="default", reason="")
    sealed = entry_of(msgspec.structs.replace(plain, encrypt=True))
    small = msgspec.json.decode(msgspec.json.encode(sealed), type=Brief)
    assert destinations.of(small).name == destinations.of(sealed).name == "example/mx:far.test:25+tls"
    assert destinations.of(entry_of(plain)).name == "example/mx:far.test:25"
    assert [host.tls for host in destinations.route(sealed)[1]] == ["secure"]


def test_a_host_that_is_pinned_or_verified_stays_so() -> None:
    for tls in ("verified", "pinned"):
        mine = customer()
        mine = msgspec.structs.replace(
            mine, domains=(Domain(name="example.test", relay=(Host(host="mx.example.test", tls=tls),)),)
        )
        hosts = hosts_of(mine, "example.test", anywhere=True, encrypt=True)
        assert [host.tls for host in hosts] == [tls]
        assert where_of(hosts) == "mx.example.test:25"


@pytest.mark.parametrize(
    ("policy", "tlsa", "demand"),
    [
        ("", False, VERIFIED),
        ("none", False, VERIFIED),
        ("testing", False, STS),
        ("enforce", False, STS),
        ("enforce", True, DANE),
    ],
)
async def test_encrypted_means_verified_by_dane_by_mta_sts_or_by_the_hosts_name(
    policy: str, *, tlsa: bool, demand: str
) -> None:
    zone: dict[tuple[str, str], Any] = {("mx.far.test", "A"): ("192.0.2.1",)}
    if policy:
        zone["_mta-sts.far.test", "TXT"] = ("v=STSv1; id=1;",)
    if tlsa:
        zone["_25._tcp.mx.far.test", "TLSA"] = ("3 1 1 " + "ab" * 32,)
    dns = FakeDns(zone)
    dns.signed = {("mx.far.test", "A"), ("_25._tcp.mx.far.test", "TLSA")} if tlsa else set()

    async def fetch(_: str) -> bytes:
        return f"version: STSv1\nmode: {policy}\nmx: mx.far.test\nmax_age: 86400\n".encode()

    config = DeliveryConfig(hostname="gp.test", dns_validating=True)
    demands = Demands(config, dns, Sts(dns, ManualClock(NOW), fetch))
    found = await demands.of(Hop(host="mx.far.test", via="far.test", secure=tlsa, tls="secure"))
    assert (found.name, found.must, found.lenient) == (demand, True, False)
    assert found.context is not None


async def test_the_sender_of_what_is_blocked_is_told_why() -> None:
    store = MemoryStore()
    branch = Branch(recipients=("v@far.test",), action=Action.DELETE, rule="cards", reason=FOUND, refuse=True)
    entry = entry_of(branch)
    await put(store, entry.disposition.received)
    notices = Notices(DeliveryConfig(hostname="gp.test"), store, lambda _: NOW)
    concluded = await notices.with_bounce(entry, ended(entry, NOW, State.BOUNCED, refusal(branch)))
    (outcome,) = concluded.outcomes
    assert (outcome.state, outcome.reply) == (State.BOUNCED, f"5.7.1 not sent, as the rule cards says: {FOUND}")
    (notice,) = concluded.notices
    told = bytes(await store.get(notice.key))
    assert b"Status: 5.7.1" in told
    assert b"5.7.1 not sent, as the rule cards says" in told
    assert b"could not be reached" not in told
    assert b"4111" not in told


async def test_its_people_are_told_without_a_word_of_what_was_written_and_get_a_copy_once() -> None:
    store = MemoryStore()
    event = going_out(subject="the list")
    await put(store, event)
    disposition = decided(event, customer(msgspec.structs.replace(BLOCK, bcc=("watch@example.test",))), "DLP_CARDS")
    copies = Copies(
        DeliveryConfig(hostname="gp.test"), store, {"example": customer()}.get, lambda *_: False, Budget(1 << 20)
    )
    made = await copies.of(disposition, [0])
    whom = {each.own: each for each in made}
    assert {each.own: each.envelope.recipients for each in made} == {
        "bcc": ("watch@example.test",),
        "notice": ("boss@example.test",),
    }
    text = bytes(await store.get(whom["notice"].key)).partition(b"\r\n\r\n")[2]
    assert b"not sent, and its sender told why" in text
    assert FOUND.encode() in text
    assert b"the list" not in text  # the subject may be what must not leave
    assert bytes(await store.get(whom["bcc"].key)).endswith(b"\r\n\r\n4111111111111111\r\n")
    assert await copies.of(disposition, [0]) == made


def test_without_anybody_named_the_postmaster_of_the_senders_domain_is_told() -> None:
    lone = msgspec.structs.replace(customer(), outbound=Outbound(enabled=True, data_loss=(HOLD,)))
    (branch,) = decided(going_out(), lone, "DLP_IBANS").branches
    assert branch.notify == ("postmaster@example.test",)
    nobody = msgspec.structs.replace(going_out().envelope, reverse_path="")
    (branch,) = decided(going_out(envelope=nobody), lone, "DLP_IBANS").branches
    assert branch.notify == ()


# --- what an operator writes


LONG = ", ".join(f"word{n:094}" for n in range(2_000))
CONFIG = """\
customers:
  - id: acme
    domains: [{name: acme.example, relay: [mx.acme.example], recipients: any}]
    outbound:
      enabled: yes
      addresses: [192.0.2.10]
      notify: [security@acme.example]
      data_loss:
        - %s
"""


def written(rule: str) -> DataRule:
    (spec,) = parse_customers(parse_tree(CONFIG % rule, "gatepost.yaml"))
    assert spec.customer.outbound.notify == ("security@acme.example",)
    return spec.customer.outbound.data_loss[0]


def test_a_rule_as_it_is_written() -> None:
    digest = "ab" * 32
    text = (
        "{name: all, numbers: [card, iban], patterns: ['(?i)zebra'], words: [top secret], files: [%s], unread: yes,"
        " at_least: 3, senders: ['@acme.example'], recipients: ['@far.example'], bcc: w@acme.example, then: block}"
    )
    assert written(text % digest.upper()) == DataRule(
        name="all",
        then="block",
        numbers=("card", "iban"),
        patterns=("(?i)zebra",),
        words=("top secret",),
        files=(digest,),
        unread=True,
        at_least=3,
        senders=("@acme.example",),
        recipients=("@far.example",),
        bcc=("w@acme.example",),
    )


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{name: x, then: block}", "looks for nothing"),
        ("{name: X, then: block, numbers: card}", "is no name"),
        ("{name: x, then: burn, numbers: card}", "'burn' is not block, quarantine, encrypt or copy"),
        ("{name: x, then: block, numbers: kard}", "did you mean card"),
        ("{name: x, then: block, patterns: '('}", "is no RE2 expression: missing )"),
        ("{name: x, then: block, patterns: 'a*'}", "matches the empty text"),
        ("{name: x, then: block, patterns: '(a)\\1'}", "is no RE2 expression"),
        ("{name: x, then: block, words: '--'}", "no letter"),
        ("{name: x, then: block, files: abc}", "not a SHA-256"),
        ("{name: x, then: copy, numbers: card}", "needs bcc"),
        ("{name: x, then: quarantine, numbers: card, bcc: w@acme.example}", "can be read in the quarantine"),
        ("{name: x, then: block, numbers: card, bcc: w@far.example}", "none of this customer's domains"),
        ("{name: x, then: block, numbers: card, senders: b@far.example}", "none of this customer's domains"),
        ("{name: x, then: block, numbers: card, at_least: 0}", "not between 1 and 1000"),
        ("{name: x, then: block, numbers: card}\n        - {name: x, then: block, numbers: iban}", "another rule"),
        (f"{{name: x, then: block, words: [{LONG}]}}\n        - {{name: y, then: block, words: [{LONG}]}}", "octets"),
    ],
)
def test_a_mistake_is_told(rule: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        written(rule)
    assert problem in str(caught.value)
