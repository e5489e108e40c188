"""Addresses and names of the Internet, and of networks that strangers must not be led into."""

from __future__ import annotations

import pytest

from services.core.outside import is_public, may_be_public


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("198.41.0.4", True),
        ("2001:4860::25", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104  # no one listens on it here
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::c629:4", True),
        ("2002:a00:1::", False),
        ("nonsense", False),
    ],
)
def test_addresses_of_the_internet(address: str, *, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("login.acme.test", True),
        ("198.41.0.4", True),
        ("10.0.0.1", False),
        ("login", False),
        ("127.1", False),
        ("2130706433", False),
        ("metadata.google.internal", False),
        ("printer.local", False),
    ],
)
def test_names_that_may_be_the_internets(host: str, *, may: bool) -> None:
    assert may_be_public(host) is may
