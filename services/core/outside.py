"""What is of the Internet, and what of a private network, where strangers' names must not lead to. Pure."""

from __future__ import annotations

import ipaddress
from typing import Final

_INSIDE: Final = frozenset({"localhost", "local", "internal", "localdomain"})
_EMBEDDED: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))  # RFC 6052, RFC 8215


def is_public(text: str) -> bool:
    """Return whether it is an address of the Internet, also where one of IPv6 stands for one of IPv4."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and any(address in network for network in _EMBEDDED):
            inner = ipaddress.IPv4Address(address.packed[-4:])
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast


def may_be_public(host: str) -> bool:
    """Return whether the host is written as the Internet's are: an address of it, or a name that may be one's.

    What a name leads to is another matter: that is looked at when it is resolved.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        last = host.rpartition(".")[2]
        return "." in host and last not in _INSIDE and not last.isdigit()
    return is_public(host)
