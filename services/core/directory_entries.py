"""From what a directory holds of a person, group or mailbox to the addresses that take mail.

OpenLDAP has `mail` and, by the schemas of several mail servers, `mailAlternateAddress`. Active Directory has `mail`
and `proxyAddresses`, whose values begin with the kind of the address: `SMTP:` the first, `smtp:` the others, `X500:`,
`SIP:` and more that are no mail addresses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from services.core.address import Address, parse
from services.core.errors import BadAddress

ATTRIBUTES: Final = ("mail", "mailAlternateAddress", "proxyAddresses")
FILTER: Final = "(|(mail=*)(mailAlternateAddress=*)(proxyAddresses=smtp:*))"
_SMTP: Final = "smtp"


class Addresses(NamedTuple):
    """What the values of one entry say."""

    ours: frozenset[Address]
    foreign: int = 0  # in domains that aren't the customer's
    unreadable: int = 0  # that are no addresses


def addresses(values: Iterable[bytes], domains: Collection[str]) -> Addresses:
    """Return the addresses in the domains (lower case, A-labels) among the values of an entry's attributes."""
    ours: set[Address] = set()
    foreign = unreadable = 0
    for value in values:
        try:
            text = _mailbox(value.decode())
            if text is None:
                continue
            address = parse(text)
        except (BadAddress, UnicodeDecodeError):
            unreadable += 1
            continue
        if address.domain in domains:
            ours.add(address)
        else:
            foreign += 1
    return Addresses(frozenset(ours), foreign, unreadable)


def _mailbox(text: str) -> str | None:
    """Return the address without its kind, None when it is of a kind that takes no mail."""
    text = text.strip()
    kind, colon, rest = text.partition(":")
    if not colon or not kind.isalnum():  # no unquoted local part has a colon
        return text
    return rest.strip() if kind.lower() == _SMTP else None
