"""What is exported reads back as it was, and what the console publishes is what the customers file publishes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import (
    Account,
    Action,
    Brand,
    ClientCertificate,
    Customer,
    DataRule,
    DigestPlan,
    Disclaimer,
    Domain,
    Group,
    Host,
    LdapSource,
    Match,
    Outbound,
    Person,
    Protect,
    Rule,
    Status,
)
from services.console.export import to_yaml
from services.core.customers import CustomerSpec, parse_customers
from services.ingress.submission.passwords import hashed
from services.runtime.yaml_tree import parse_tree, read_tree
from tests.house.authority import made

with tempfile.TemporaryDirectory() as folder:
    CERTIFICATES = (
        ClientCertificate(der=made(Path(folder), "mta.acme.example").text),
        ClientCertificate(der=made(Path(folder), "ca.acme.example", ca=True).text, names=("mta.acme.example",)),
    )
EXAMPLE = Path(__file__).parents[2] / "docs" / "gatepost.example.yaml"
EVERYTHING = CustomerSpec(
    Customer(
        id="acme",
        name="Ac: me # Ltd",
        domains=(
            Domain(
                name="acme.example",
                relay=(
                    Host(host="mx.acme.example", port=2525, preference=0, tls="pinned", ca_file="a.pem"),
                    Host(host="2001:db8::25", tls="none"),
                    Host(host="acme.example", lookup="srv"),
                ),
            ),
            Domain(name="any.example", relay=(Host(host="10.0.0.9"),), any_recipient=True),
            Domain(name="ldap.example", relay=(Host(host="10.0.0.9"),)),
        ),
        rules=(
            Rule(
                name="no: 1",
                when=Match(
                    status=(Status.SPAM,),
                    scanner="content",
                    min_score=5.25,
                    evidence=("A_B",),
                    recipients=("@acme.example", "group:sales"),
                    senders=("a@b.example",),
                    auth=("dmarc=fail", "spf=none"),
                    attachments=(".exe", "7z"),
                    min_size=1_500,
                    max_size=2_097_152,
                ),
                action=Action.DELIVER,
                tag_subject="[SPAM] ",
                add_headers=(("X-Spam", "yes: it is"),),
                redirect_to="junk@acme.example",
                bcc=("journal@acme.example", "a@else.test"),
                notify=("desk@acme.example",),
                stamp="from outside",
                strip=("all", "*.do?"),
                off=True,
            ),
            Rule(name="rest", action=Action.QUARANTINE),
        ),
        max_size=70_000,
        queue_days=2.5,
        quarantine_days=7,
        unscanned=Action.DELIVER,
        hold_unscanned=False,
        allow=("192.0.2.0/24",),
        forwarders=("198.51.100.7/32",),
        block=("2001:db8::/32",),
        bounce_key="a key: # 'quoted'",
        refuse_unsolicited=True,
        directory=(
            LdapSource(
                name="office",
                url="ldaps://ldap.acme.example",
                base="dc=acme,dc=example",
                filter="(mail=*)",
                attributes=("mail",),
                bind_dn="cn=x,dc=acme",
                password_file="acme",
                ca_file="ca.pem",
                interval_seconds=1_800.0,
                full_every=3,
                drop_share=0.5,
            ),
            LdapSource(
                name="sealed",
                url="ldaps://ldap.acme.example",
                base="dc=acme,dc=example",
                bind_dn="cn=x,dc=acme",
                password_sealed="c2VhbGVkIGJ5IHRoZSBjb25zb2xl",
                public=True,
            ),
        ),
        protect=Protect(
            persons=(Person(name="Erika Mustermann", addresses=("e@home.example",)), Person(name="Max Mustermann")),
            partners=("bank.example",),
            brands=(Brand(name="Globex", domains=("globex.example",)),),
            allowed=("acne.example",),
        ),
        delay_warning_hours=4,
        digest=DigestPlan(hours=(7, 13), timezone="Europe/Rome", language="it"),
        training=True,
        groups=(Group(name="sales", members=("a@acme.example", "@any.example")),),
        users_release="spam",
        helpdesk_reads=True,
        approve_unauthenticated=True,
        retention_hours=12,
        outbound=Outbound(
            enabled=True,
            addresses=("192.0.2.10/32", "2001:db8:25::/48"),
            accounts=(
                Account(name="mta@acme.example", password=hashed(b"secret", os.urandom), domains=("acme.example",)),
            ),
            rules=(Rule(name="never: there", when=Match(recipients=("@far.test",)), action=Action.QUARANTINE),),
            certificates=CERTIFICATES,
            notify=("security@acme.example",),
            disclaimer=Disclaimer(text="Acme: Ltd\n1 Main Street", html="<p>Acme</p>\n<p>Main Street</p>"),
            pool="bulk",
            sender_messages=100,
            customer_messages=2_000,
            data_loss=(
                DataRule(name="cards", then="block", numbers=("card",), files=("ab" * 32,), bcc=("w@acme.example",)),
                DataRule(
                    name="words",
                    then="quarantine",
                    patterns=(r"(?i)zebra\s+\d: 'x'",),
                    words=("top: secret", "no"),
                    unread=True,
                    at_least=3,
                    senders=("@acme.example",),
                    recipients=("v@far.test",),
                ),
            ),
        ),
    ),
    ("anna@acme.example", 'b "c d@acme.example'.replace('"', ""), "no@acme.example", "007@acme.example"),
)


def again(*specs: CustomerSpec) -> list[CustomerSpec]:
    return parse_customers(parse_tree(to_yaml(specs), "exported"))


def test_everything_that_can_be_set_comes_back() -> None:
    assert again(EVERYTHING) == [EVERYTHING]
    unset = {
        name
        for name in Customer.__struct_fields__
        if getattr(EVERYTHING.customer, name) == getattr(Customer(id=""), name)
    }
    outbound = EVERYTHING.customer.outbound
    unset |= {name for name in Outbound.__struct_fields__ if getattr(outbound, name) == getattr(Outbound(), name)}
    # A new setting of a person belongs into EVERYTHING, and so into the export.
    assert unset == {"salt", "origin", "lapses_at", "trial"}


def test_the_example_file_comes_back() -> None:
    specs = parse_customers(read_tree(EXAMPLE))
    assert again(*specs) == specs


@pytest.mark.parametrize("unscanned", [(True, Action.QUARANTINE), (False, Action.DELIVER), (False, Action.QUARANTINE)])
def test_each_way_with_unscanned_mail(unscanned: tuple[bool, Action]) -> None:
    changed = msgspec.structs.replace(EVERYTHING.customer, hold_unscanned=unscanned[0], unscanned=unscanned[1])
    assert again(CustomerSpec(changed, EVERYTHING.recipients))[0].customer == changed


texts = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp", "Cn")), min_size=1, max_size=60).filter(
    lambda text: bool(text.strip())
)
locals_ = st.text(st.characters(whitelist_categories=("Ll", "Nd"), max_codepoint=0x2FF), min_size=1, max_size=20)


@given(
    name=texts,
    key=texts.filter(lambda text: len(text) >= 8),
    tag=texts,
    header=texts,
    people=st.lists(locals_, min_size=1, max_size=5),
    port=st.integers(1, 65_535),
    days=st.floats(1, 10).map(lambda value: round(value, 3)),
)
def test_any_text_and_number_comes_back(
    name: str, key: str, tag: str, header: str, people: list[str], port: int, days: float
) -> None:
    text = to_yaml(
        [
            CustomerSpec(
                Customer(
                    id="a",
                    name=name,
                    domains=(Domain(name="a.example", relay=(Host(host="mx.a.example", port=port),)),),
                    rules=(Rule(name=name, tag_subject=tag, add_headers=(("X-A", header),)),),
                    bounce_key=key,
                    queue_days=days,
                ),
                tuple(f"{person}@a.example" for person in people),
            )
        ]
    )
    (read,) = parse_customers(parse_tree(text, "exported"))
    assert (read.customer.name, read.customer.bounce_key, read.customer.queue_days) == (name, key, days)
    assert read.customer.rules == (Rule(name=name, tag_subject=tag, add_headers=(("X-A", header),)),)
    assert read.domains[0].relay[0].port == port
    assert parse_customers(parse_tree(to_yaml([read]), "again")) == [read]
