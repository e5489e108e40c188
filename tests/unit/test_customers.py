"""The customers file: what it means, and what each mistake in it is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.events import Action, Brand, Customer, Domain, Group, Host, Match, Person, Protect, Rule, Status
from services.cli.customers_file import read_customers
from services.core.customers import CustomerSpec, example, parse_customers
from services.core.errors import ConfigError
from services.runtime.yaml_tree import parse_tree

EXAMPLE = Path(__file__).parents[2] / "docs" / "gatepost.example.yaml"

PLAIN = """\
customers:
  - id: acme
    name: Acme Ltd
    domains:
      - name: acme.example
        relay: ["mx1.acme.example:25", {host: 10.0.0.9, port: 2525, preference: 20}]
        recipients: any
    policy:
      unscanned: hold
      rules:
        - {name: viruses, when: {status: [virus]}, then: quarantine}
        - {name: tag spam, when: {min_score: 5}, tag_subject: "[SPAM] "}
    limits: {max_size: 50MB, queue_days: 10, quarantine_days: 30}
"""


def parse(text: str) -> list[CustomerSpec]:
    return parse_customers(parse_tree(text, "gatepost.yaml"))


def test_a_customer() -> None:
    relay = (Host(host="mx1.acme.example"), Host(host="10.0.0.9", port=2525, preference=20))
    assert parse(PLAIN) == [
        CustomerSpec(
            Customer(
                id="acme",
                name="Acme Ltd",
                domains=(Domain(name="acme.example", relay=relay, any_recipient=True),),
                rules=(
                    Rule(name="viruses", when=Match(status=(Status.VIRUS,)), action=Action.QUARANTINE),
                    Rule(name="tag spam", when=Match(min_score=5.0), tag_subject="[SPAM] "),
                ),
            )
        )
    ]


def test_the_example_that_is_shipped_is_valid_and_shows_every_key() -> None:
    acme, globex = read_customers(EXAMPLE)
    assert acme.recipients == ("anna@acme.example", "ben@acme.example", "info@acme.example")
    assert [host.host for host in acme.customer.domains[0].relay] == ["mx1.acme.example", "10.0.0.9", "2001:db8::25"]
    assert len(acme.customer.rules) == 9
    assert globex.customer == Customer(
        id="globex",
        domains=(Domain(name="globex.example", relay=(Host(host="mail.globex.example"),), any_recipient=True),),
    )
    text = EXAMPLE.read_text()
    (source,) = acme.customer.directory
    assert (source.name, source.password_env) == ("head-office", "GATEPOST_LDAP_ACME")
    keys = (
        "directory drop_percent name unscanned groups rules when then tag_subject add_headers redirect_to bcc"
        " stamp strip notify off min_size auth attachments max_size queue_days"
        " quarantine_days protect persons partners brands allowed"
    )
    assert [key for key in keys.split() if f"{key}:" not in text] == []


def test_the_customer_of_an_installation_without_a_file() -> None:
    spec = example(2626)
    (domain,) = spec.customer.domains
    assert (spec.customer.id, domain.name, domain.any_recipient) == ("example", "example.test", True)
    assert domain.relay == (Host(host="127.0.0.1", port=2626),)


def customer(domain: str = "", more: str = "") -> str:
    """Return a file with one customer on lines 2 to 6, with `more` keys from line 7 on."""
    domain = domain or "name: a.example\n    relay: [mx]\n    recipients: any"
    return f"customers:\n- id: acme\n  domains:\n  - {domain}\n{more}"


def recipients(value: str, name: str = "a.example") -> tuple[str, ...]:
    (spec,) = parse(customer(f"name: {name}\n    relay: [mx]\n    recipients: {value}"))
    return spec.recipients


def test_recipients_are_addresses_or_local_parts_and_each_counts_once() -> None:
    assert recipients('[anna, Anna@A.example, "ben smith@a.example"]'.replace("ben smith", '\\"ben smith\\"')) == (
        "anna@a.example",
        "ben smith@a.example",
    )


def test_words_that_yaml_takes_for_something_else_are_names_here() -> None:
    assert recipients("[no, on, 007, 1e3, 2024-01-01]") == tuple(
        f"{name}@a.example" for name in ("no", "on", "007", "1e3", "2024-01-01")
    )


def test_internationalised_domains_become_a_labels() -> None:
    (spec,) = parse(
        customer("name: Bücher.example\n    relay: [mx.bücher.example]\n    recipients: [jörg@BÜCHER.example]\n")
    )
    (domain,) = spec.customer.domains
    assert domain.name == "xn--bcher-kva.example"
    assert domain.relay[0].host == "mx.xn--bcher-kva.example"
    assert spec.recipients == ("jörg@xn--bcher-kva.example",)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("mx", Host(host="mx")),
        ("MX.Acme.example.", Host(host="mx.acme.example")),
        ("mx:2525", Host(host="mx", port=2525)),
        ("10.0.0.9:25", Host(host="10.0.0.9")),
        ('"2001:DB8::0025"', Host(host="2001:db8::25")),
        ('"[2001:db8::25]"', Host(host="2001:db8::25")),
        ('"[2001:db8::25]:2525"', Host(host="2001:db8::25", port=2525)),
        ('{host: "[2001:db8::25]", port: 26}', Host(host="2001:db8::25", port=26)),
        ("{host: mx, preference: 0}", Host(host="mx", preference=0)),
    ],
)
def test_hosts(written: str, expected: Host) -> None:
    (spec,) = parse(customer(f"name: a.example\n    relay: [{written}]\n    recipients: any"))
    assert spec.customer.domains[0].relay == (expected,)


@pytest.mark.parametrize(
    ("written", "hold", "action"),
    [("hold", True, Action.QUARANTINE), ("deliver", False, Action.DELIVER), ("quarantine", False, Action.QUARANTINE)],
)
def test_unscanned(written: str, hold: bool, action: Action) -> None:  # a value, not a switch
    (spec,) = parse(customer(more=f"  policy: {{unscanned: {written}}}"))
    assert (spec.customer.hold_unscanned, spec.customer.unscanned) == (hold, action)


@pytest.mark.parametrize(
    ("written", "octets"), [("50MB", 52_428_800), ("64 KiB", 65_536), ("10m", 10_485_760), ("100000", 100_000)]
)
def test_sizes(written: str, octets: int) -> None:
    (spec,) = parse(customer(more=f"  limits: {{max_size: {written}}}"))
    assert spec.customer.max_size == octets


def test_a_whole_rule() -> None:
    rule = (
        "{name: all, when: {status: spam, scanner: content, min_score: -1.5, evidence: GTUBE,"
        ' recipients: ["@A.example"], senders: [x@Y.example], min_size: 2KB, max_size: 3000, auth: dmarc=fail,'
        ' attachments: [.exe, zip]}, then: deliver, tag_subject: "[X] ",'
        " add_headers: {X-One: 1, X-Two: b c}, redirect_to: junk@a.example, bcc: [x@else.test, Y@a.example],"
        " notify: z@b.c, stamp: from outside, strip: [dangerous, zip, '*x?.doc'],"
        " off: yes}"
    )
    (spec,) = parse(customer(more=f"  policy:\n    rules:\n    - {rule}"))
    assert spec.customer.rules == (
        Rule(
            name="all",
            when=Match(
                status=(Status.SPAM,),
                scanner="content",
                min_score=-1.5,
                evidence=("GTUBE",),
                recipients=("@a.example",),
                senders=("x@y.example",),
                min_size=2_048,
                max_size=3_000,
                auth=("dmarc=fail",),
                attachments=(".exe", "zip"),
            ),
            action=Action.DELIVER,
            tag_subject="[X] ",
            add_headers=(("X-One", "1"), ("X-Two", "b c")),
            redirect_to="junk@a.example",
            bcc=("x@else.test", "Y@a.example"),
            notify=("z@b.c",),
            stamp="from outside",
            strip=("dangerous", "zip", "*x?.doc"),
            off=True,
        ),
    )


def test_groups() -> None:
    rules = "[{name: a, when: {recipients: 'group:staff'}, then: delete}]"
    (spec,) = parse(customer(more=f"  policy: {{groups: {{staff: [X@A.example, '@a.example']}}, rules: {rules}}}"))
    assert spec.customer.groups == (Group(name="staff", members=("X@a.example", "@a.example")),)
    assert spec.customer.rules[0].when.recipients == ("group:staff",)
    for wrong in ("{Staff: x@a.example}", "{staff: []}", "{staff: x@other.example}", "[staff]"):
        with pytest.raises(ConfigError):
            parse(customer(more=f"  policy: {{groups: {wrong}}}"))


def test_own_lists_and_bounces() -> None:
    lists = '  lists: {allow: [192.0.2.1, "2001:db8::/32"], block: ["::ffff:198.51.100.0/120"]}\n'
    (spec,) = parse(customer(more=lists + "  bounces: {key: a shared secret, unsolicited: refuse}"))
    assert spec.customer.allow == ("192.0.2.1/32", "2001:db8::/32")
    assert spec.customer.block == ("198.51.100.0/24",)
    assert (spec.customer.bounce_key, spec.customer.refuse_unsolicited) == ("a shared secret", True)


def test_whom_to_protect() -> None:
    written = (
        '{persons: [Max  Muster, {name: Erika Muster, addresses: [Erika@HOME.example, "erika@home.example"]}],'
        " partners: Bücher.example, brands: [{name: Rocket, domains: [rocket.example]}], allowed: [b.example]}"
    )
    (spec,) = parse(protecting(written))
    assert spec.customer.protect == Protect(
        persons=(Person(name="Max Muster"), Person(name="Erika Muster", addresses=("erika@home.example",))),
        partners=("xn--bcher-kva.example",),
        brands=(Brand(name="Rocket", domains=("rocket.example",)),),
        allowed=("b.example",),
    )


def relayed(relay: str) -> str:
    return customer(f"name: a.example\n    relay: {relay}\n    recipients: any")


def listing(value: str) -> str:
    return customer(f"name: a.example\n    relay: [mx]\n    recipients: {value}")


def ruled(rule: str) -> str:
    return customer(more=f"  policy:\n    rules:\n    - {rule}")


def protecting(value: str) -> str:
    return customer(more=f"  protect: {value}")


DOMAIN = "customers[0].domains[0]"
RULE = "customers[0].policy.rules[0]"
MISTAKES = {
    # the shape of the file
    "": "1: the file is empty",
    "# only this\n": "1: the file is empty",
    "- id: acme": "1: expected a mapping with customers, not a list",
    "customer: []": "1: unknown key 'customer', did you mean customers?",
    "{}": "1: customers is missing",
    "customers: []": "1: customers is empty, and applying it would take every customer away",
    "customers:": "1: customers: expected a list of customers, not nothing",
    "customers: acme": "1: customers: expected a list of customers, not 'acme'",
    "customers:\n- acme": (
        "2: customers[0]: expected a mapping with id,"
        " name, domains, directory, policy, limits, lists, bounces, protect, quarantine, tls and outbound, not 'acme'"
    ),
    "customers:\n- id: acme\n  domain: []": "3: customers[0]: unknown key 'domain', did you mean domains?",
    "customers:\n- id: acme\n  id: b": "3: customers[0]: id is given twice, first on line 2",
    "customers:\n- id: acme": "2: customers[0]: domains is missing",
    "customers:\n- id: acme\n  domains: []": "3: customers[0].domains: a customer has one domain at least",
    # ids and names
    "customers:\n- id: Acme\n  domains: []": (
        "2: customers[0].id: 'Acme' is not an id: 1 to 63 of a-z, 0-9 and -, no - at an end"
    ),
    "customers:\n- id: [a]\n  domains: []": "2: customers[0].id: expected text, not a list",
    "customers:\n- id:\n  domains: []": "2: customers[0].id: expected text, not nothing",
    "customers:\n- id: ''\n  domains: []": "2: customers[0].id: expected text, but it is empty",
    customer() + customer().removeprefix("customers:\n"): (
        "7: customers[1].id: acme is the id of another customer, on line 2"
    ),
    customer() + customer().removeprefix("customers:\n").replace("acme", "b"): (
        "9: customers[1].domains[0].name: a.example is a domain of customer acme already, on line 4"
    ),
    customer(more="  - {name: A.EXAMPLE, relay: [mx], recipients: any}"): (
        "7: customers[0].domains[1].name: a.example is a domain of this customer already, on line 4"
    ),
    customer(more='  name: "a\\nb"'): "7: customers[0].name: holds a line break or another control character",
    # domains
    customer("name: a..example\n    relay: [mx]\n    recipients: any"): (
        f"4: {DOMAIN}.name: 'a..example': not a domain name"
    ),
    customer("name: localhost\n    relay: [mx]\n    recipients: any"): (
        f"4: {DOMAIN}.name: 'localhost' is not a full domain name, such as acme.example"
    ),
    customer("name: 10.0.0.1\n    relay: [mx]\n    recipients: any"): (
        f"4: {DOMAIN}.name: '10.0.0.1' is not a full domain name, such as acme.example"
    ),
    # hosts
    relayed("[mx, mx2:99999]"): f"5: {DOMAIN}.relay[1]: port 99999 is not between 1 and 65535",
    relayed("[{host: mx, port: 0}]"): f"5: {DOMAIN}.relay[0].port: port 0 is not between 1 and 65535",
    relayed("[mx:smtp]"): f"5: {DOMAIN}.relay[0]: expected a whole number, not 'smtp'",
    relayed("['mx:']"): f"5: {DOMAIN}.relay[0]: 'mx:' has no port after the colon",
    relayed("\n    - mx: 25"): f"6: {DOMAIN}.relay[0]: unknown key 'mx'",
    relayed("mx"): f"5: {DOMAIN}.relay: expected a list of hosts, not 'mx'",
    relayed("[]"): f"5: {DOMAIN}.relay: a domain has one host to relay to at least",
    relayed("[mx, MX:25]"): f"5: {DOMAIN}.relay[1]: mx port 25 is listed twice",
    relayed("[10.0.0.999]"): f"5: {DOMAIN}.relay[0]: '10.0.0.999' is not an IP address, and no host has such a name",
    relayed("[0.0.0.0]"): f"5: {DOMAIN}.relay[0]: 0.0.0.0 is not an address to send mail to",
    relayed("[a b]"): f"5: {DOMAIN}.relay[0]: 'a b' is not the name or address of a host",
    relayed('["[::1"]'): f"5: {DOMAIN}.relay[0]: '[::1' is not a host, such as [2001:db8::25]:25",
    relayed("[{hots: mx}]"): f"5: {DOMAIN}.relay[0]: unknown key 'hots', did you mean host?",
    relayed("[{port: 25}]"): f"5: {DOMAIN}.relay[0]: host is missing",
    # recipients
    listing("all"): f"6: {DOMAIN}.recipients: expected `any`, `directory`, or a list of addresses",
    listing(""): f"6: {DOMAIN}.recipients: expected `any`, `directory`, or a list of addresses",
    listing("[]"): f"6: {DOMAIN}.recipients: an empty list refuses all mail; write `any` or the addresses",
    listing("[a, b@other.example]"): f"6: {DOMAIN}.recipients[1]: 'b@other.example' is not in a.example",
    listing("[a b]"): f"6: {DOMAIN}.recipients[0]: 'a b' is not an address: no @ after the local part",
    listing("\n    - anna\n    - {b: c}"): f"8: {DOMAIN}.recipients[1]: expected text, not a mapping",
    # rules
    ruled("{name: a}"): (
        f"9: {RULE}: a rule that does nothing: then, tag_subject, add_headers, redirect_to, stamp, strip, bcc and"
        " notify are all missing"
    ),
    ruled("{then: delete}"): f"9: {RULE}: name is missing",
    ruled("{name: a, then: quarantaine}"): (
        f"9: {RULE}.then: 'quarantaine' is not deliver, quarantine or delete, did you mean quarantine?"
    ),
    ruled("{name: a, then: delete, tag_subject: x}"): f"9: {RULE}: a rule that deletes a message changes nothing in it",
    ruled("{name: a, then: deliver}\n    - {name: a, then: delete}"): (
        "10: customers[0].policy.rules[1]: another rule is named 'a', and the trace would not tell them apart"
    ),
    ruled("{name: a, then: delete, when: {status: [viral]}}"): (
        f"9: {RULE}.when.status[0]: 'viral' is not clean, suspicious, spam, phishing, virus or unavailable,"
        " did you mean virus?"
    ),
    ruled("{name: a, then: delete, when: {status: gone}}"): (
        f"9: {RULE}.when.status: 'gone' is not clean, suspicious, spam, phishing, virus or unavailable"
    ),
    ruled(
        "{name: a, then: delete, when: {status: []}}"
    ): f"9: {RULE}.when.status: an empty list, which nothing matches",
    ruled("{name: a, then: delete, when: {}}"): (
        f"9: {RULE}.when: no condition; leave `when` out of a rule that always applies"
    ),
    ruled("{name: a, then: delete, when: {scanner: virus}}"): (
        f"9: {RULE}.when.scanner: says which scanner is meant, but not what it found"
    ),
    ruled("{name: a, then: delete, when: {score: 5}}"): f"9: {RULE}.when: unknown key 'score', did you mean min_score?",
    ruled("{name: a, then: delete, when: {min_score: .inf}}"): (
        f"9: {RULE}.when.min_score: expected a number, not '.inf'"
    ),
    ruled("{name: a, then: delete, when: {evidence: eicar}}"): (
        f"9: {RULE}.when.evidence: 'eicar' is not a code, such as DMARC_REJECT"
    ),
    ruled("{name: a, then: delete, when: {recipients: x@b.example}}"): (
        f"9: {RULE}.when.recipients: 'x@b.example' is in none of this customer's domains, so the rule never applies"
    ),
    ruled("{name: a, then: delete, when: {senders: spammer}}"): (
        f"9: {RULE}.when.senders: 'spammer' is neither an address nor @domain: no @ after the local part"
    ),
    ruled("{name: a, add_headers: {Subject: x}}"): (
        f"9: {RULE}.add_headers.Subject: Subject is not a header that a rule may add"
    ),
    ruled("{name: a, add_headers: {X-Gatepost-Id: x}}"): (
        f"9: {RULE}.add_headers.X-Gatepost-Id: X-Gatepost-Id is not a header that a rule may add"
    ),
    ruled('{name: a, add_headers: {"X-A: b": x}}'): (
        f"9: {RULE}.add_headers.X-A: b: 'X-A: b' is not the name of a header field"
    ),
    ruled('{name: a, add_headers: {X-A: "b\\r\\nBcc: c"}}'): (
        f"9: {RULE}.add_headers.X-A: holds a line break or another control character"
    ),
    ruled("{name: a, add_headers: {X-A: b, x-a: c}}"): f"9: {RULE}.add_headers.x-a: x-a is given twice",
    ruled("{name: a, add_headers: [X-A]}"): f"9: {RULE}.add_headers: expected a mapping of header names to values",
    ruled("{name: a, then: deliver, when: {recipients: ['group:x']}}"): (
        f"9: {RULE}.when.recipients[0]: 'group:x' is none of this customer's groups"
    ),
    ruled("{name: a, bcc: []}"): f"9: {RULE}.bcc: an empty list, which nothing matches",
    ruled("{name: a, then: delete, bcc: x@y.z}"): f"9: {RULE}: a rule that deletes a message changes nothing in it",
    ruled("{name: a, then: deliver, off: maybe}"): f"9: {RULE}.off: 'maybe' is not yes, true, no or false",
    ruled("{name: a, then: deliver, when: {auth: dmarc}}"): (
        f"9: {RULE}.when.auth: 'dmarc' is not a result such as dmarc=fail"
    ),
    ruled("{name: a, then: deliver, when: {attachments: [EXE]}}"): (
        f"9: {RULE}.when.attachments[0]: 'EXE' is not an ending such as .exe, or a type such as zip, in lower case"
    ),
    ruled("{name: a, then: deliver, when: {min_size: 2KB, max_size: 1KB}}"): (
        f"9: {RULE}.when: min_size is above max_size, so the rule never applies"
    ),
    ruled("{name: a, redirect_to: nobody}"): (
        f"9: {RULE}.redirect_to: 'nobody' is not an address: no @ after the local part"
    ),
    # whom to protect
    protecting("{person: [a b]}"): "7: customers[0].protect: unknown key 'person', did you mean persons?",
    protecting("{persons: [Erika]}"): (
        "7: customers[0].protect.persons[0]: 'Erika' is one word, and the name of many: write it in full"
    ),
    protecting("{persons: [Max Muster, {name: max  MUSTER}]}"): (
        "7: customers[0].protect.persons[1].name: 'max MUSTER' is listed twice"
    ),
    protecting("{persons: [{name: Max Muster, addresses: [max]}]}"): (
        "7: customers[0].protect.persons[0].addresses[0]: 'max' is not an address: no @ after the local part"
    ),
    protecting("{partners: [bank]}"): (
        "7: customers[0].protect.partners[0]: 'bank' is not a full domain name, such as bank.example"
    ),
    protecting("{brands: [{name: Ace, domains: [ace.example]}]}"): (
        "7: customers[0].protect.brands[0].name: 'Ace' is too short: honest names hold it by chance"
    ),
    protecting("{brands: [{name: Rocket, domains: []}]}"): (
        "7: customers[0].protect.brands[0].domains: a brand has one domain at least: that may use its name"
    ),
    # limits
    customer(more="  limits: {max_size: 50XB}"): "7: customers[0].limits.max_size: '50XB' is not a size, such as 50MB",
    customer(more="  limits: {max_size: 1KB}"): "7: customers[0].limits.max_size: 1KB is not between 64KB and 150MB",
    customer(more="  limits: {queue_days: 0.5}"): "7: customers[0].limits.queue_days: 0.5 is not between 1 and 10",
    customer(more="  limits: {quarantine_days: 31}"): (
        "7: customers[0].limits.quarantine_days: 31 is not between 1 and 30"
    ),
    customer(more="  limits: {queue_days: many}"): ("7: customers[0].limits.queue_days: expected a number, not 'many'"),
    # lists and bounces
    customer(more="  lists: {allow: [192.0.2.1/24]}"): (
        "7: customers[0].lists.allow[0]: '192.0.2.1/24' is neither an address nor a network, such as 192.0.2.0/24"
    ),
    customer(more="  lists: {allow: 192.0.2.1, block: [192.0.2.1/32]}"): (
        "7: customers[0].lists: 192.0.2.1/32 is both allowed and blocked"
    ),
    customer(more="  bounces: {key: short}"): (
        "7: customers[0].bounces.key: shorter than 8 characters, and so soon guessed"
    ),
    customer(more="  bounces: {unsolicited: refuse}"): "7: customers[0].bounces: key is missing",
    # quarantine
    customer(more="  quarantine: {digest: {hours: [24]}}"): (
        "7: customers[0].quarantine.digest.hours[0]: 24 is not between 0 and 23"
    ),
    customer(more="  quarantine: {digest: {hours: [7], timezone: Mars/Base}}"): (
        "7: customers[0].quarantine.digest.timezone: 'Mars/Base' is no time zone, such as Europe/Rome"
    ),
    customer(more="  quarantine: {digest: {language: it}}"): "7: customers[0].quarantine.digest: hours is missing",
    customer(more="  policy: {unscanned: ignore}"): (
        "7: customers[0].policy.unscanned: 'ignore' is not hold, deliver or quarantine"
    ),
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.items(), ids=MISTAKES.values())
def test_a_mistake_is_answered_with_one_line_that_names_the_place(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value) == f"gatepost.yaml:{expected}"


def test_an_error_repeats_no_more_than_a_line_of_what_was_written() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(listing('["' + "x" * 400 + '\u00a0@y"]'))
    assert len(str(caught.value)) < 200
    with pytest.raises(ConfigError, match="longer than 500 characters"):
        parse(listing("[" + "x" * 600 + "]"))
