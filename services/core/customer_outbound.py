"""What an operator writes about a customer's outgoing mail.

outbound:
  enabled: yes
  addresses: [192.0.2.10, 198.51.100.0/28]
  accounts:
    - {name: mta@acme.example, password: "$argon2id$…", domains: [acme.example]}
  certificates: [...]
  policy:
    rules: [...]
  data_loss: [...]
  notify: [it@acme.example]
  disclaimer: {text: ["Acme Ltd", "1 Main Street"], html: ["<p>Acme Ltd, 1 Main Street</p>"]}
  pool: bulk
  limits: {sender_messages: 100, customer_messages: 2000}
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Final

from schemas.events import Account, Disclaimer, Outbound
from services.core.address import Address, parse
from services.core.customer_certificates import parse_certificates
from services.core.customer_data_loss import parse_data_loss
from services.core.customer_rules import parse_rules
from services.core.errors import BadAddress
from services.core.networks import normal
from services.core.tree import Place, quoted

_KEYS: Final = (
    "enabled",
    "addresses",
    "accounts",
    "certificates",
    "policy",
    "data_loss",
    "notify",
    "disclaimer",
    "pool",
    "limits",
)
ACCOUNTS_MOST: Final = 1_000
ADDRESSES_MOST: Final = 1_000
NOTIFY_MOST: Final = 10
MESSAGES_MOST: Final = 1_000_000  # in a window
DISCLAIMER_MOST: Final = 5_000  # characters
POOL: Final = re.compile(r"[a-z0-9-]{1,30}")
WIDEST: Final = {4: 16, 6: 32}  # bits of prefix; who names more names strangers
YES_NO: Final = {"yes": True, "true": True, "no": False, "false": False}

# What `gatepost submission hash-password` prints; memory and rounds are bounded, as each AUTH costs them.
_HASH: Final = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,6}),t=([0-9]),p=[1-4]\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
)
_MEMORY_LEAST, _MEMORY_MOST = 8_192, 131_072  # KiB


def parse_outbound(place: Place, domains: Collection[str]) -> Outbound:
    """Return the customer's outgoing side; raise ConfigError for the first mistake. `domains` are the customer's."""
    fields = place.fields(*_KEYS, required=["enabled"])
    addresses = parse_addresses(fields["addresses"]) if "addresses" in fields else ()
    accounts = _accounts(fields["accounts"], domains) if "accounts" in fields else ()
    certificates = parse_certificates(fields["certificates"]) if "certificates" in fields else ()
    enabled = fields["enabled"].choice(YES_NO)
    if enabled and not addresses and not accounts and not certificates:
        raise place.wrong("nobody may send: neither addresses nor accounts nor certificates are given")
    policy = fields["policy"].fields("rules", required=["rules"]) if "policy" in fields else {}
    rules = parse_rules(policy["rules"], None, domains) if policy else ()
    notify = _notify(fields["notify"]) if "notify" in fields else ()
    return Outbound(
        enabled=enabled,
        addresses=addresses,
        accounts=accounts,
        certificates=certificates,
        rules=rules,
        data_loss=parse_data_loss(fields["data_loss"], domains) if "data_loss" in fields else (),
        notify=notify,
        disclaimer=_disclaimer(fields["disclaimer"]) if "disclaimer" in fields else Disclaimer(),
        pool=_pool(fields["pool"]) if "pool" in fields else "",
        **(_numbers(fields["limits"]) if "limits" in fields else {}),
    )


def _disclaimer(place: Place) -> Disclaimer:
    fields = place.fields("text", "html", required=["text"])
    return Disclaimer(text=_paragraph(fields["text"]), html=_paragraph(fields["html"]) if "html" in fields else "")


def _paragraph(place: Place) -> str:
    """Return the lines of a text, which is written as a list of them."""
    text = "\n".join(each.text() for each in place.members("a list of lines"))
    if len(text) > DISCLAIMER_MOST:
        raise place.wrong(f"{len(text)} characters, and {DISCLAIMER_MOST} is the most")
    return text


def _numbers(place: Place) -> dict[str, int]:
    """Return how many messages may be sent within the operator's windows; he may allow fewer."""
    fields = place.fields("sender_messages", "customer_messages")
    return {name: at.integer(1, MESSAGES_MOST) for name, at in fields.items()}


def _pool(place: Place) -> str:
    text = place.text()
    if not POOL.fullmatch(text):
        raise place.wrong(f"{quoted(text)} is no name of a pool: 1 to 30 of a-z, 0-9 and -")
    return text


def _notify(place: Place) -> tuple[str, ...]:
    members = place.members("a list of addresses")
    if len(members) > NOTIFY_MOST:
        raise place.wrong(f"{len(members)} addresses, and {NOTIFY_MOST} is the most")
    return tuple(str(_address(each)) for each in members)


def parse_addresses(place: Place) -> tuple[str, ...]:
    """Return the addresses and networks that need no password; raise ConfigError for what is none, or too wide."""
    members = place.members("a list of addresses and networks")
    if len(members) > ADDRESSES_MOST:
        raise place.wrong(f"{len(members)} networks, and {ADDRESSES_MOST} is the most")
    found: dict[str, None] = {}
    for each in members:
        text = each.text()
        try:
            network = ipaddress.ip_network(normal(text))
        except ValueError as error:
            raise each.wrong(f"{quoted(text)} is neither an address nor a network, such as 192.0.2.0/24") from error
        if network.prefixlen < WIDEST[network.version]:
            raise each.wrong(f"{quoted(text)} is more than the machines of one customer: anybody in it could send")
        found[str(network)] = None
    return tuple(found)


def _accounts(place: Place, domains: Collection[str]) -> tuple[Account, ...]:
    places = place.items("a list of accounts")
    if len(places) > ACCOUNTS_MOST:
        raise place.wrong(f"{len(places)} accounts, and {ACCOUNTS_MOST} is the most")
    accounts: dict[str, Account] = {}
    for each in places:
        fields = each.fields("name", "password", "domains", required=["name", "password"])
        name = _name(fields["name"], domains)
        if name in accounts:
            raise fields["name"].wrong(f"{name} is there twice")
        limits = _limits(fields["domains"], domains) if "domains" in fields else ()
        accounts[name] = Account(name=name, password=_hash(fields["password"]), domains=limits)
    return tuple(accounts.values())


def _limits(place: Place, domains: Collection[str]) -> tuple[str, ...]:
    """Return the domains that an account sends for; a list without any would leave it none."""
    members = place.members("a list of domains")
    if not members:
        raise place.wrong("an empty list, with which nothing can be sent; leave it out for all domains")
    return tuple(dict.fromkeys(each.choice({name: name for name in domains}) for each in members))


def _address(place: Place) -> Address:
    text = place.text()
    try:
        return parse(text)
    except BadAddress as error:
        raise place.wrong(f"{quoted(text)} is not an address: {error}") from error


def _name(place: Place, domains: Collection[str]) -> str:
    address = _address(place)
    if address.domain not in domains:
        raise place.wrong(f"{quoted(place.text())} is in none of this customer's domains")
    return address.canonical


def _hash(place: Place) -> str:
    """Return the hash. What was written is not in the error: it may be the password."""
    text = place.text()
    match = _HASH.fullmatch(text)
    if match is None:
        raise place.wrong("not a hash as `gatepost submission hash-password` prints; a password itself is never kept")
    if not _MEMORY_LEAST <= int(match[1]) <= _MEMORY_MOST or not int(match[2]) >= 1:
        raise place.wrong(f"a hash with less than {_MEMORY_LEAST} or more than {_MEMORY_MOST} KiB of memory")
    return text
