"""From fields: what is read out of them is what any reader may see, or nothing is."""

from __future__ import annotations

import pytest

from services.core.authors import authors_of


def read(*values: str) -> list[str]:
    header = b"".join(b"From: %s\r\n" % value.encode() for value in values)
    return [str(address) for address in authors_of(b"Subject: x\r\n" + header)]


@pytest.mark.parametrize(
    "value",
    [
        "anna@acme.test",
        "<anna@acme.test>",
        "Anna <anna@acme.test>",
        "Anna Q. Public (at work) <anna@ACME.test>",
        '"Public, Anna; (x) <y>" <anna@acme.test>',
        "=?utf-8?q?J=C3=BCrgen?= <anna@acme.test>",
        "Anna\r\n\t<anna@acme.test>",
        "(a (nested) comment) anna@acme.test",
        "anna@acme.test <anna@acme.test>",
        '"zoe@zeta.test" <anna@acme.test>',
    ],
)
def test_one_author(value: str) -> None:
    assert read(value) == ["anna@acme.test"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a@acme.test, Zoe <z@zeta.test>", ["a@acme.test", "z@zeta.test"]),
        ("zoe@zeta.test <anna@acme.test>", ["anna@acme.test", "zoe@zeta.test"]),
        ('"an na"@acme.test', ['"an na"@acme.test']),
    ],
)
def test_every_address_that_somebody_may_show(value: str, found: list[str]) -> None:
    assert read(value) == found


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Anna",
        "undisclosed:;",
        "friends: a@acme.test;",
        "<>",
        "a@acme.test b@acme.test",
        "<a@acme.test> <z@zeta.test>",
        "a@acme.test <z@zeta.test",
        "(never ends <a@acme.test>",
        "a@b@acme.test",
        "a@[192.0.2.1]",
        "a@acme.test\\, <z@zeta.test>",
        '"a@acme.test',
        ", ".join(["a@acme.test"] * 11),
        "a@acme.test" + " " * 5_000,
        "(" * 4_000,
        '"\\' * 2_000,
    ],
)
def test_what_is_no_list_of_addresses_has_none(value: str) -> None:
    assert read(value) == []


def test_two_fields_or_none_have_none() -> None:
    assert read() == []
    assert read("a@acme.test", "a@acme.test") == []
