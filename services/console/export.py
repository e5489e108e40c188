"""Customers as the customers file has them: what `services.core.customers` reads gives the same again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from schemas.events import (
    Action,
    ClientCertificate,
    Customer,
    DataRule,
    Domain,
    Host,
    LdapSource,
    Match,
    Outbound,
    Protect,
    Rule,
)
from services.core.address import quote
from services.core.customers import CustomerSpec
from services.core.sizes import shown

_DEFAULT = Customer(id="")


def to_yaml(specs: Iterable[CustomerSpec]) -> str:
    """Return the file's text."""
    tree = {"customers": [_customer(spec) for spec in specs]}
    return dumped(tree)


def dumped(tree: object) -> str:
    """Return YAML in the order of the tree."""
    text: str = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False, width=120)
    return text


def _customer(spec: CustomerSpec) -> dict[str, Any]:
    customer = spec.customer
    return _some(
        id=customer.id,
        name=customer.name,
        domains=[_domain(domain, spec.recipients) for domain in customer.domains],
        directory=[_source(source) for source in customer.directory],
        policy=policy_tree(customer),
        limits=_changed(
            customer, {"queue_days", "delay_warning_hours", "quarantine_days", "retention_hours", "max_size"}
        ),
        lists=_some(**{name: list(getattr(customer, name)) for name in ("allow", "block", "forwarders")}),
        bounces=_some(key=customer.bounce_key, unsolicited="refuse" if customer.refuse_unsolicited else "")
        if customer.bounce_key
        else {},
        protect=protect_tree(customer.protect),
        quarantine=_quarantine(customer),
        outbound=_outbound(customer.outbound),
    )


def _some(**fields: object) -> dict[str, Any]:
    """Return the fields that say something."""
    return {key: value for key, value in fields.items() if value not in ("", None, [], {}, ())}


def _changed(customer: Customer, names: set[str]) -> dict[str, str]:
    return {
        name: _number(getattr(customer, name))
        for name in sorted(names)
        if getattr(customer, name) != getattr(_DEFAULT, name)
    }


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.9f}".rstrip("0")


def _domain(domain: Domain, recipients: tuple[str, ...]) -> dict[str, Any]:
    own = [_address(address) for address in recipients if address.rpartition("@")[2] == domain.name]
    return {
        "name": domain.name,
        "relay": [_host(host) for host in domain.relay],
        "recipients": "any" if domain.any_recipient else own or "directory",
    }


def _address(canonical: str) -> str:
    local, _, domain = canonical.rpartition("@")
    return f"{quote(local)}@{domain}"


def _host(host: Host) -> dict[str, Any]:
    tls: object = host.tls
    if host.tls == "pinned":
        tls = {"level": "pinned", "ca_file": host.ca_file}
    port = "" if host.lookup == "srv" else str(host.port)
    return _some(host=host.host, port=port, preference=str(host.preference), lookup=host.lookup, tls=tls)


def _source(source: LdapSource) -> dict[str, Any]:
    return _some(
        name=source.name,
        url=source.url,
        base=source.base,
        filter=source.filter,
        attributes=list(source.attributes),
        groups=list(source.groups),
        bind_dn=source.bind_dn,
        password_env=source.password_env,
        password_file=source.password_file,
        password_sealed=source.password_sealed,
        public="yes" if source.public else "",
        ca_file=source.ca_file,
        plain="yes" if source.plain else "",
        every_minutes=_number(source.interval_seconds / 60),
        full_every=str(source.full_every),
        drop_percent=_number(source.drop_share * 100),
    )


def policy_tree(customer: Customer) -> dict[str, Any]:
    """Return rules and the choice for unscanned mail as `core.customers.with_policy` reads them."""
    unscanned = ""
    if not customer.hold_unscanned:
        unscanned = "deliver" if customer.unscanned is Action.DELIVER else "quarantine"
    groups = {group.name: list(group.members) for group in customer.groups}
    return _some(unscanned=unscanned, groups=groups, rules=[rule_tree(rule) for rule in customer.rules])


def rule_tree(rule: Rule) -> dict[str, Any]:
    """Return a rule as `core.customer_rules` reads it."""
    return _some(
        name=rule.name,
        off="yes" if rule.off else "",
        when=_match(rule.when),
        then=rule.action.value if rule.action else "",
        tag_subject=rule.tag_subject,
        add_headers=dict(rule.add_headers),
        redirect_to=rule.redirect_to,
        stamp=rule.stamp,
        strip=list(rule.strip),
        bcc=list(rule.bcc),
        notify=list(rule.notify),
    )


def _match(match: Match) -> Mapping[str, Any]:
    return _some(
        status=[status.value for status in match.status],
        scanner=match.scanner,
        min_score=None if match.min_score is None else _number(match.min_score),
        evidence=list(match.evidence),
        recipients=list(match.recipients),
        senders=list(match.senders),
        auth=list(match.auth),
        attachments=list(match.attachments),
        min_size=None if match.min_size is None else shown(match.min_size),
        max_size=None if match.max_size is None else shown(match.max_size),
    )


def protect_tree(protect: Protect) -> dict[str, Any]:
    """Return whom a customer protects as `core.protection` reads it."""
    return _some(
        persons=[_some(name=person.name, addresses=list(person.addresses)) for person in protect.persons],
        partners=list(protect.partners),
        brands=[{"name": brand.name, "domains": list(brand.domains)} for brand in protect.brands],
        allowed=list(protect.allowed),
    )


def _quarantine(customer: Customer) -> dict[str, Any]:
    digest: dict[str, Any] = {}
    if customer.digest != _DEFAULT.digest:
        digest = {
            "hours": [str(hour) for hour in customer.digest.hours],
            "timezone": customer.digest.timezone,
            "language": customer.digest.language,
        }
    return _some(
        digest=digest,
        training="yes" if customer.training else "",
        approve_unauthenticated="yes" if customer.approve_unauthenticated else "",
        helpdesk_reads="yes" if customer.helpdesk_reads else "",
        users_release="" if customer.users_release == _DEFAULT.users_release else customer.users_release,
    )


def _certificate(certificate: ClientCertificate) -> dict[str, Any]:
    if certificate.names:
        return {"ca": certificate.der, "names": list(certificate.names)}
    return {"certificate": certificate.der}


def data_rule_tree(rule: DataRule) -> dict[str, Any]:
    """Return a data-loss rule as `core.customer_data_loss` reads it."""
    lists = ("numbers", "patterns", "words", "files", "senders", "recipients", "bcc")
    return _some(
        name=rule.name,
        then=rule.then,
        unread="yes" if rule.unread else "",
        at_least=rule.at_least if rule.at_least > 1 else "",
        **{name: list(getattr(rule, name)) for name in lists},
    )


def _outbound(outbound: Outbound) -> dict[str, Any]:
    if outbound == _DEFAULT.outbound:
        return {}
    return _some(
        enabled="yes" if outbound.enabled else "no",
        addresses=list(outbound.addresses),
        accounts=[
            _some(name=account.name, password=account.password, domains=list(account.domains))
            for account in outbound.accounts
        ],
        certificates=[_certificate(each) for each in outbound.certificates],
        data_loss=[data_rule_tree(rule) for rule in outbound.data_loss],
        policy=_some(rules=[rule_tree(rule) for rule in outbound.rules]),
        notify=list(outbound.notify),
        disclaimer=_some(text=outbound.disclaimer.text.splitlines(), html=outbound.disclaimer.html.splitlines()),
        pool=outbound.pool,
        limits={
            name: str(count) for name in ("sender_messages", "customer_messages") if (count := getattr(outbound, name))
        },
    )
