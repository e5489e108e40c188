"""The customers file: what an operator writes about customers, made into the events that the mail path follows.

    customers:
      - id: acme
        domains:
          - name: acme.example
            relay: ["mx1.acme.example:25", {host: 10.0.0.9, port: 2525, preference: 20}]
            recipients: any

docs/gatepost.example.yaml shows every key. Sizes are octets, with KB, MB or GB of 1,024 each.
"""

from __future__ import annotations

import dataclasses
import re
import zoneinfo
from typing import Final

import msgspec

from schemas.events import Action, Customer, DigestPlan, Domain, Host, Protect
from services.core.address import parse, parse_domain
from services.core.customer_outbound import parse_outbound
from services.core.customer_rules import parse_groups, parse_rules
from services.core.directory_config import parse_directory
from services.core.errors import BadAddress
from services.core.networks import normal
from services.core.protection import parse_protect
from services.core.relay_hosts import Tls, parse_host, parse_tls
from services.core.sizes import size
from services.core.tree import Place, Scalar, quoted

RECIPIENTS_ANY: Final = "any"
RECIPIENTS_DIRECTORY: Final = "directory"  # those that LDAP or an imported table brings, and no others
SIZE_LEAST, SIZE_MOST = 65_536, 157_286_400  # octets; RFC 5321 section 4.5.3.1.7 asks for 64 KB at least
QUEUE_DAYS_MOST: Final = 10.0
WARNING_HOURS_MOST: Final = 240.0
QUARANTINE_DAYS_MOST: Final = 30.0
RETENTION_HOURS_MOST: Final = 72.0
NETWORKS_MOST: Final = 1_000  # of one list
HOUR_MOST: Final = 23
BOUNCE_KEY_LEAST: Final = 8  # characters

_KEYS: Final = (
    "id",
    "name",
    "domains",
    "directory",
    "policy",
    "limits",
    "lists",
    "bounces",
    "protect",
    "quarantine",
    "tls",
    "outbound",
)
_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_UNSCANNED: Final = {  # what is written → (hold, what else)
    "hold": (True, Action.QUARANTINE),
    "deliver": (False, Action.DELIVER),
    "quarantine": (False, Action.QUARANTINE),
}


@dataclasses.dataclass(frozen=True, slots=True)
class CustomerSpec:
    """One customer as written: the event but for its salt, and the recipients that are listed by address."""

    customer: Customer
    recipients: tuple[str, ...] = ()  # canonical addresses, each once

    @property
    def domains(self) -> tuple[Domain, ...]:
        """The customer's domains."""
        return self.customer.domains


def parse_customers(root: Place) -> list[CustomerSpec]:
    """Return the customers in the order written; raise ConfigError for the first mistake."""
    places = root.fields("customers", required=["customers"])["customers"].items("a list of customers")
    if not places:
        raise root.wrong("customers is empty, and applying it would take every customer away")
    ids: dict[str, Place] = {}
    domains: dict[str, tuple[str, Place]] = {}
    return [_customer(place, ids, domains) for place in places]


def _customer(place: Place, ids: dict[str, Place], domains: dict[str, tuple[str, Place]]) -> CustomerSpec:
    fields = place.fields(*_KEYS, required=["id", "domains"])
    identity = _id(fields["id"], ids)
    listed = fields["domains"].items("a list of domains")
    if not listed:
        raise fields["domains"].wrong("a customer has one domain at least")
    own: list[Domain] = []
    recipients: dict[str, None] = {}
    tls = parse_tls(fields["tls"]) if "tls" in fields else Tls()
    for each in listed:
        domain, addresses = _domain(each, identity, domains, tls)
        own.append(domain)
        recipients |= dict.fromkeys(addresses)
    customer = Customer(
        id=identity,
        name=fields["name"].text() if "name" in fields else "",
        domains=tuple(own),
        directory=parse_directory(fields["directory"]) if "directory" in fields else (),
        protect=parse_protect(fields["protect"]) if "protect" in fields else Protect(),
    )
    if "policy" in fields:
        customer = with_policy(customer, fields["policy"])
    if "limits" in fields:
        customer = _with_limits(customer, fields["limits"])
    if "lists" in fields:
        customer = with_lists(customer, fields["lists"])
    if "bounces" in fields:
        customer = _with_bounces(customer, fields["bounces"])
    if "quarantine" in fields:
        customer = _with_quarantine(customer, fields["quarantine"])
    if "outbound" in fields:
        customer = _replace(customer, outbound=parse_outbound(fields["outbound"], [each.name for each in own]))
    return CustomerSpec(customer, tuple(recipients))


def _id(place: Place, ids: dict[str, Place]) -> str:
    text = place.text()
    if not _ID.fullmatch(text):
        raise place.wrong(f"{quoted(text)} is not an id: 1 to 63 of a-z, 0-9 and -, no - at an end")
    if text in ids:
        raise place.wrong(f"{text} is the id of another customer, on line {ids[text].node.line}")
    ids[text] = place
    return text


def _domain(place: Place, owner: str, domains: dict[str, tuple[str, Place]], tls: Tls) -> tuple[Domain, list[str]]:
    fields = place.fields("name", "relay", "recipients", "tls", required=["name", "relay", "recipients"])
    if "tls" in fields:
        tls = parse_tls(fields["tls"])
    name = _domain_name(fields["name"])
    if name in domains:
        whose, first = domains[name]
        of = "this customer" if whose == owner else f"customer {whose}"
        raise fields["name"].wrong(f"{name} is a domain of {of} already, on line {first.node.line}")
    domains[name] = (owner, fields["name"])
    hosts = [parse_host(each, tls) for each in fields["relay"].items("a list of hosts")]
    if not hosts:
        raise fields["relay"].wrong("a domain has one host to relay to at least")
    for index, host in enumerate(hosts):
        if any((host.host, host.port) == (other.host, other.port) for other in hosts[:index]):
            raise fields["relay"].items()[index].wrong(f"{host.host} port {host.port} is listed twice")
    addresses = _recipients(fields["recipients"], name)
    return Domain(name=name, relay=tuple(hosts), any_recipient=addresses is None), addresses or []


def _domain_name(place: Place) -> str:
    text = place.text()
    try:
        name = parse_domain(text)
    except BadAddress as error:
        raise place.wrong(f"{quoted(text)}: {error}") from error
    labels = name.split(".")
    if len(labels) < 2 or labels[-1].isdigit():  # noqa: PLR2004  # a name and what it is under
        raise place.wrong(f"{quoted(text)} is not a full domain name, such as acme.example")
    return name


def _recipients(place: Place, domain: str) -> list[str] | None:
    """Return the canonical addresses, None for any."""
    if isinstance(place.node, Scalar):
        if not place.node.null and place.text() in (RECIPIENTS_ANY, RECIPIENTS_DIRECTORY):
            return None if place.text() == RECIPIENTS_ANY else []
        raise place.wrong("expected `any`, `directory`, or a list of addresses")
    items = place.items()
    if not items:
        raise place.wrong("an empty list refuses all mail; write `any` or the addresses")
    return [_recipient(each, domain) for each in items]


def _recipient(place: Place, domain: str) -> str:
    text = place.text()
    try:
        address = parse(text if "@" in text else f"{text}@{domain}")
    except BadAddress as error:
        raise place.wrong(f"{quoted(text)} is not an address: {error}") from error
    if address.domain != domain:
        raise place.wrong(f"{quoted(text)} is not in {domain}")
    return address.canonical


def with_policy(customer: Customer, place: Place) -> Customer:
    """Return the customer with the policy as written: rules, and what is done with mail that can't be scanned.

    Raises ConfigError for the first mistake, a rule for a domain that is none of the customer's among them.
    """
    fields = place.fields("unscanned", "groups", "rules")
    hold, unscanned = customer.hold_unscanned, customer.unscanned
    if "unscanned" in fields:
        hold, unscanned = fields["unscanned"].choice(_UNSCANNED)
    domains = [domain.name for domain in customer.domains]
    groups = parse_groups(fields["groups"], domains) if "groups" in fields else ()
    names = [group.name for group in groups]
    rules = parse_rules(fields["rules"], domains, groups=names) if "rules" in fields else ()
    return _replace(customer, hold_unscanned=hold, unscanned=unscanned, groups=groups, rules=rules)


def _with_limits(customer: Customer, place: Place) -> Customer:
    fields = place.fields("max_size", "queue_days", "quarantine_days", "delay_warning_hours", "retention_hours")
    changes: dict[str, object] = {}
    if "max_size" in fields:
        span = f"{SIZE_LEAST // 1_024}KB and {SIZE_MOST // 1_048_576}MB"
        changes["max_size"] = size(fields["max_size"], SIZE_LEAST, SIZE_MOST, span)
    if "queue_days" in fields:
        changes["queue_days"] = fields["queue_days"].number(1, QUEUE_DAYS_MOST)
    if "delay_warning_hours" in fields:
        changes["delay_warning_hours"] = fields["delay_warning_hours"].number(0, WARNING_HOURS_MOST)
    if "quarantine_days" in fields:
        changes["quarantine_days"] = fields["quarantine_days"].number(1, QUARANTINE_DAYS_MOST)
    if "retention_hours" in fields:
        changes["retention_hours"] = fields["retention_hours"].number(0, RETENTION_HOURS_MOST)
    return _replace(customer, **changes)


def with_lists(customer: Customer, place: Place) -> Customer:
    """Return the customer with these hosts allowed and blocked; raise ConfigError for the first mistake."""
    fields = place.fields("allow", "block", "forwarders")
    found = {name: _networks(fields[name]) for name in fields}
    for both in set(found.get("allow", ())) & set(found.get("block", ())):
        raise place.wrong(f"{both} is both allowed and blocked")
    return _replace(customer, **found)


def _networks(place: Place) -> tuple[str, ...]:
    members = place.members("a list of addresses and networks")
    if len(members) > NETWORKS_MOST:
        raise place.wrong(f"{len(members)} networks, and {NETWORKS_MOST} is the most")
    found: dict[str, None] = {}
    for each in members:
        text = each.text()
        try:
            found[normal(text)] = None
        except ValueError as error:
            raise each.wrong(f"{quoted(text)} is neither an address nor a network, such as 192.0.2.0/24") from error
    return tuple(found)


def _with_bounces(customer: Customer, place: Place) -> Customer:
    fields = place.fields("key", "unsolicited", required=["key"])
    key = fields["key"].text()
    if len(key) < BOUNCE_KEY_LEAST:
        raise fields["key"].wrong(f"shorter than {BOUNCE_KEY_LEAST} characters, and so soon guessed")
    refuse = fields["unsolicited"].choice({"mark": False, "refuse": True}) if "unsolicited" in fields else False
    return _replace(customer, bounce_key=key, refuse_unsolicited=refuse)


def _with_quarantine(customer: Customer, place: Place) -> Customer:
    fields = place.fields("digest", "training", "approve_unauthenticated", "users_release", "helpdesk_reads")
    changes: dict[str, object] = {}
    if "digest" in fields:
        changes["digest"] = _digest(fields["digest"])
    for name in ("training", "approve_unauthenticated", "helpdesk_reads"):
        if name in fields:
            changes[name] = fields[name].choice({"yes": True, "true": True, "no": False, "false": False})
    if "users_release" in fields:
        changes["users_release"] = fields["users_release"].choice({name: name for name in ("all", "spam", "none")})
    return _replace(customer, **changes)


def _digest(place: Place) -> DigestPlan:
    fields = place.fields("hours", "timezone", "language", required=["hours"])
    hours = tuple(sorted({int(each.number(0, HOUR_MOST)) for each in fields["hours"].items("a list of hours")}))
    timezone = fields["timezone"].text() if "timezone" in fields else "UTC"
    try:
        zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise fields["timezone"].wrong(f"{quoted(timezone)} is no time zone, such as Europe/Rome") from error
    language = fields["language"].choice({"en": "en", "it": "it"}) if "language" in fields else "en"
    return DigestPlan(hours=hours, timezone=timezone, language=language)


def _replace(customer: Customer, **changes: object) -> Customer:
    return msgspec.structs.replace(customer, **changes)


def example(port: int) -> CustomerSpec:
    """Return the customer that is served when none is configured: all of example.test, to an MTA on this machine."""
    relay = Host(host="127.0.0.1", port=port)
    domain = Domain(name="example.test", relay=(relay,), any_recipient=True)
    return CustomerSpec(Customer(id="example", name="Example", domains=(domain,)))
