"""Sets of IP networks, and the network that stands for an address where one machine has many."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

IPV4_NEIGHBOURS, IPV6_NEIGHBOURS = 24, 64  # prefix lengths; one customer of a provider has a /64 to itself
_MOST: Final = 512  # sets that are kept parsed


class Networks:
    """Networks in which an address is found by one look for each prefix length that occurs."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Raise ValueError for what is no network in `normal` form."""
        self._by_length: dict[tuple[int, int], set[int]] = {}
        for text in networks:
            network = ipaddress.ip_network(text)
            shift = network.max_prefixlen - network.prefixlen
            found = self._by_length.setdefault((network.version, shift), set())
            found.add(int(network.network_address) >> shift)

    def __contains__(self, ip: str) -> bool:
        """Return whether the address is in one of them; what is no address is in none."""
        return self.that_has(ip) is not None

    def that_has(self, ip: str) -> str | None:
        """Return one of the networks that the address is in, as `address/length`; None when it is in none."""
        if not self._by_length:
            return None
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return None
        number, version = int(address), address.version
        for (v, shift), found in self._by_length.items():
            if v == version and number >> shift in found:
                return str(ipaddress.ip_network((ip, address.max_prefixlen - shift), strict=False))
        return None

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def __len__(self) -> int:
        return sum(len(found) for found in self._by_length.values())


@lru_cache(maxsize=_MOST)
def networks(texts: tuple[str, ...]) -> Networks:
    """Return the set; the same tuple is parsed once. Raises ValueError for what is no network in `normal` form."""
    return Networks(texts)


def normal(text: str) -> str:
    """Return an address or a network as `address/length`; raise ValueError, also where host bits are set."""
    network = ipaddress.ip_network(text.strip())
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:  # noqa: PLR2004  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2
        return f"{mapped}/{network.prefixlen - 96}"
    return str(network)


@lru_cache(maxsize=4096)
def neighbours(ip: str) -> str:
    """Return the /24 of an IPv4 address, the /64 of an IPv6 one; what is no address is its own network."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    length = IPV4_NEIGHBOURS if address.version == 4 else IPV6_NEIGHBOURS  # noqa: PLR2004  # the version of IP
    return str(ipaddress.ip_network((ip, length), strict=False))
