"""The PROXY protocol, versions 1 and 2: who really is on the other side of a load balancer. Pure.

Believed only from the addresses that the operator names; the header is then required, since a client that reaches the
port past the balancer would otherwise choose its own address.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from typing import Final

from services.core.errors import Permanent

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
V1_LIMIT: Final = 107  # octets of a version 1 line with its CRLF, as its specification has it
V2_LIMIT: Final = 2_048  # octets after the fixed part; balancers send a few hundred

_FIXED: Final = 16  # octets of the fixed part of version 2
_V1: Final = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]{2,39}) ([0-9A-Fa-f.:]{2,39}) ([0-9]{1,5}) ([0-9]{1,5})")
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN( [ -~]*)?")
_ADDRESS_OCTETS: Final = {0x11: (4, 12), 0x21: (16, 36)}  # TCP over IPv4 and IPv6: one address; the whole block


class BadProxy(Permanent):
    """Not a PROXY header."""


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """What the balancer said. `ip` is empty for a connection of its own, such as a health check."""

    octets: int  # how long the header was
    ip: str = ""
    port: int = 0


def parse(data: bytes) -> Header | None:
    """Return the header that the data begins with, None while it is not complete; raise BadProxy for anything else."""
    if data[:12] == SIGNATURE[: len(data)]:
        return _v2(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return _v1(data)
    raise BadProxy("no PROXY header")


def _v1(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, V1_LIMIT)
    if end < 0:
        if len(data) >= V1_LIMIT:
            raise BadProxy("version 1: too long")
        return None
    line = bytes(data[:end])
    if _V1_UNKNOWN.fullmatch(line):
        return Header(end + 2)
    match = _V1.fullmatch(line)
    if match is None:
        raise BadProxy("version 1: not as specified")
    try:
        address = ipaddress.ip_address(match[2].decode())
        ipaddress.ip_address(match[3].decode())
    except ValueError as error:
        raise BadProxy("version 1: not an address") from error
    if address.version != (4 if match[1] == b"TCP4" else 6) or int(match[4]) > 65_535:  # noqa: PLR2004  # a port
        raise BadProxy("version 1: not as its family says")
    return Header(end + 2, plain(address), int(match[4]))


def _v2(data: bytes) -> Header | None:
    if len(data) < _FIXED:
        return None
    version, command = data[12] >> 4, data[12] & 0x0F
    length = int.from_bytes(data[14:16], "big")
    if version != 2 or command > 1 or length > V2_LIMIT:  # noqa: PLR2004  # the version
        raise BadProxy("version 2: not as specified")
    if len(data) < _FIXED + length:
        return None
    if command == 0:
        return Header(_FIXED + length)
    octets, block = _ADDRESS_OCTETS.get(data[13], (0, 0))
    if not octets or length < block:
        raise BadProxy("version 2: not TCP")
    address = ipaddress.ip_address(data[_FIXED : _FIXED + octets])
    port = int.from_bytes(data[_FIXED + 2 * octets : _FIXED + 2 * octets + 2], "big")
    return Header(_FIXED + length, plain(address), port)


def plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return the address as text, an IPv4 one in its own form also where IPv6 carries it."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
