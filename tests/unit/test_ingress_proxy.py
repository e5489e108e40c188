"""The PROXY header: whole, in pieces, and what only looks like one."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingress.proxy import SIGNATURE, V1_LIMIT, BadProxy, Header, parse

V1 = b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 25\r\n"


def v2(source: str, port: int = 4711, *, command: int = 1, more: bytes = b"", family: int | None = None) -> bytes:
    address = ipaddress.ip_address(source)
    block = address.packed * 2 + port.to_bytes(2, "big") + b"\0\x19" + more
    family = (0x11 if address.version == 4 else 0x21) if family is None else family
    return SIGNATURE + bytes([0x20 | command, family]) + len(block).to_bytes(2, "big") + block


WHOLE = {
    V1: Header(len(V1), "198.51.100.7", 4711),
    b"PROXY TCP6 2001:DB8::7 2001:db8::1 1 25\r\n": Header(41, "2001:db8::7", 1),
    b"PROXY UNKNOWN\r\n": Header(15),
    b"PROXY UNKNOWN 1 2 3 4\r\n": Header(23),
    v2("198.51.100.7"): Header(28, "198.51.100.7", 4711),
    v2("2001:db8::7"): Header(52, "2001:db8::7", 4711),
    v2("::ffff:198.51.100.7"): Header(52, "198.51.100.7", 4711),
    v2("198.51.100.7", more=b"\x03\0\x04abcd"): Header(35, "198.51.100.7", 4711),
    v2("198.51.100.7", command=0): Header(28),
}


@pytest.mark.parametrize(("data", "header"), WHOLE.items())
def test_a_header_is_read_however_it_is_cut_and_nothing_after_it(data: bytes, header: Header) -> None:
    assert parse(data) == header
    assert parse(data + b"EHLO x\r\n") == header
    for end in range(len(data)):
        assert parse(data[:end]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"EHLO x\r\n",
        b"PROXY TCP4 198.51.100.7 192.0.2.1 4711\r\n",
        b"PROXY TCP4 198.51.100.777 192.0.2.1 4711 25\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 25\r\n",
        b"PROXY TCP4 198.51.100.7 192.0.2.1 65536 25\r\n",
        b"PROXY UDP4 198.51.100.7 192.0.2.1 4711 25\r\n",
        b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 25 \r\n",
        b"PROXY " + b"x" * V1_LIMIT,
        SIGNATURE + b"\x11\x11\0\x0c" + b"\0" * 12,
        SIGNATURE + b"\x22\x11\0\x0c" + b"\0" * 12,
        SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE + b"\x21\x11\0\x04" + b"\0" * 4,
        v2("198.51.100.7", family=0x12),
    ],
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(BadProxy):
        parse(data)


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=80).map(lambda rest: SIGNATURE + rest)))
def test_whatever_comes_is_a_header_or_none_or_not_yet_one(data: bytes) -> None:
    try:
        header = parse(data)
    except BadProxy:
        return
    assert header is None or header.octets <= len(data)
    if header is not None and header.ip:
        assert str(ipaddress.ip_address(header.ip)) == header.ip
