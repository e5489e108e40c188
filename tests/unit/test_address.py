"""What the address parser takes and refuses, and that nothing it takes has a second reading."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.core.address import Address, parse, parse_domain
from services.core.errors import BadAddress

GOOD = {
    "anna@example.test": Address("anna", "example.test"),
    "Anna.B+tag@EXAMPLE.Test": Address("Anna.B+tag", "example.test"),
    '"anna"@example.test': Address("anna", "example.test"),
    '"a b"@example.test': Address("a b", "example.test"),
    r'"a\"b\\c"@example.test': Address(r"a\"b\c".replace(r"\"", '"'), "example.test"),
    '"a@b"@example.test': Address("a@b", "example.test"),
    '""@example.test': Address("", "example.test"),
    "victim%elsewhere.test@example.test": Address("victim%elsewhere.test", "example.test"),
    "elsewhere.test!victim@example.test": Address("elsewhere.test!victim", "example.test"),
    "a@localhost": Address("a", "localhost"),
    "a@under_score.example.test": Address("a", "under_score.example.test"),
    "a@[127.0.0.1]": Address("a", "[127.0.0.1]"),
    "a@[ipv6:2001:DB8:0:0::1]": Address("a", "[IPv6:2001:db8::1]"),
    "jürgen@example.test": Address("jürgen", "example.test"),
    "jürgen@bücher.example": Address("jürgen", "xn--bcher-kva.example"),
    "用户@例子.测试": Address("用户", "xn--fsqu00a.xn--0zwm56d"),
    "a" * 255 + "@example.test": Address("a" * 255, "example.test"),
    "a@" + "b" * 63 + ".test": Address("a", "b" * 63 + ".test"),
}

BAD = [
    "",
    "@",
    "a",
    "a@",
    "@example.test",
    "a b@example.test",
    "a@b@example.test",
    "a@exa mple.test",
    "<a@example.test",
    "a@example.test>",
    "<a@example.test>",
    "a..b@example.test",
    ".a@example.test",
    "a.@example.test",
    "a@.test",
    "a@test.",
    "a@a..test",
    "a@-a.test",
    "a@a-.test",
    "@hop.test:a@example.test",
    "@hop.test,@hop2.test:a@example.test",
    "a\0@example.test",
    "a@exam\0ple.test",
    "a\r@example.test",
    "a@example.test\r\n",
    "a\n@example.test",
    "a\x7f@example.test",
    "a\x85@example.test",
    '"a"b@example.test',
    '"a@example.test',
    '"a\x01"@example.test',
    '"a\\',
    '"a\\"@example.test',
    "a(comment)@example.test",
    "a,b@example.test",
    "a;b@example.test",
    "a:b@example.test",
    "a@[127.0.0.1",
    "a@[127.0.0.256]",
    "a@[127.1]",
    "a@[::1]",
    "a@[IPv6:::1%eth0]",
    "a@[x-tag:thing]",
    "a@127.0.0.1]",
    "a\ud800@example.test",
    "a" * 256 + "@example.test",
    "ü" * 128 + "@example.test",
    "a@" + "b" * 64 + ".test",
    "a@" + "b." * 130 + "test",
    "a@\u2028.test",
    "a@exa\u00admple..test",
]


@pytest.mark.parametrize(("text", "address"), GOOD.items(), ids=range(len(GOOD)))
def test_takes(text: str, address: Address) -> None:
    assert parse(text) == address
    assert parse(str(address)) == address


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_refuses(text: str) -> None:
    with pytest.raises(BadAddress) as refused:
        parse(text)
    assert len(text) < 5 or text not in str(refused.value)


ALPHABET = st.sampled_from(list('ab1.@"\\<>() ,:;[]%!\t\r\n\0\x7fü用\u0301\ud800-_+Ipv6'))


@given(st.text(ALPHABET, max_size=24) | st.text(max_size=40))
@example('"\\ "@a')
def test_never_takes_what_does_not_round_trip(text: str) -> None:
    try:
        address = parse(text)
    except BadAddress:
        return
    written = str(address)
    assert parse(written) == address
    assert written.rpartition("@")[2] == address.domain
    assert address.domain.isascii()
    assert not any(ord(letter) < 32 or letter == "\x7f" for letter in written)
    assert "<" not in written or written.startswith('"')
    assert written.encode().decode() == written


@given(
    st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,12}(\.[a-z0-9]{1,5}){0,2}", fullmatch=True),
    st.sampled_from(["a.test", "B.TEST", "é.test"]),
)
def test_every_plain_address_is_taken_as_it_is(local: str, domain: str) -> None:
    assert parse(f"{local}@{domain}") == Address(local, parse_domain(domain))


def test_the_canonical_form_ignores_the_case_of_the_local_part() -> None:
    assert parse("Anna@EXAMPLE.test").canonical == parse("anna@example.test").canonical
    assert parse("JU\u0308RGEN@example.test").canonical == parse("jürgen@example.test").canonical


def test_only_a_local_part_beyond_ascii_needs_smtputf8() -> None:
    assert parse("a@bücher.example").ascii
    assert not parse("ä@example.test").ascii
