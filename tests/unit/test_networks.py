"""Sets of networks, and what stands for an address."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.networks import Networks, neighbours, networks, normal


@given(st.lists(st.tuples(st.ip_addresses(), st.integers(0, 128)), max_size=8), st.ip_addresses())
def test_it_says_what_a_walk_through_all_would_say(
    pairs: list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]],
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    all_of_them = [ipaddress.ip_network((str(ip), min(length, ip.max_prefixlen)), strict=False) for ip, length in pairs]
    found = Networks(str(network) for network in all_of_them)
    assert (str(address) in found) == any(address in network for network in all_of_them)
    assert all(str(network.network_address) in found for network in all_of_them)
    that = found.that_has(str(address))
    assert that is None or (address in ipaddress.ip_network(that) and ipaddress.ip_network(that) in all_of_them)


def test_what_is_no_address_is_in_none() -> None:
    assert "unknown" not in Networks(["0.0.0.0/0", "::/0"])
    assert not Networks([])
    assert networks(("192.0.2.0/24",)) is networks(("192.0.2.0/24",))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("192.0.2.1", "192.0.2.1/32"),
        (" 192.0.2.0/24 ", "192.0.2.0/24"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
    ],
)
def test_normal(written: str, meant: str) -> None:
    assert normal(written) == meant


@pytest.mark.parametrize("written", ["", "192.0.2.1/24", "192.0.2.256", "host.test", "1.2.3", "2001:db8::1/64"])
def test_what_is_no_network_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        normal(written)


def test_neighbours() -> None:
    assert neighbours("192.0.2.77") == "192.0.2.0/24"
    assert neighbours("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert neighbours("unknown") == "unknown"
