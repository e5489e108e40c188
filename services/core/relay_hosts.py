"""Hosts as an operator writes them: `mx1.acme.example`, `10.0.0.9:2525`, `[2001:db8::25]:25`, or a mapping."""

from __future__ import annotations

import ipaddress
from typing import Final

from schemas.events import Host
from services.core.address import parse_domain
from services.core.errors import BadAddress
from services.core.tree import Place, Scalar, quoted

PORT_MOST: Final = 65_535
PREFERENCE_MOST: Final = 65_535  # as an MX record has it (RFC 1035 section 3.3.9)
_DEFAULT: Final = Host(host="")


def parse_host(place: Place) -> Host:
    """Return the host; raise ConfigError for what is no name, no address to send to, or no port."""
    if isinstance(place.node, Scalar) and not place.node.null:
        name, port = _split(place)
        return Host(host=_name(place, name), port=port)
    fields = place.fields("host", "port", "preference", required=["host"])
    return Host(
        host=_name(fields["host"], fields["host"].text().removeprefix("[").removesuffix("]")),
        port=fields["port"].integer(1, PORT_MOST, "port") if "port" in fields else _DEFAULT.port,
        preference=(
            fields["preference"].integer(0, PREFERENCE_MOST, "preference")
            if "preference" in fields
            else _DEFAULT.preference
        ),
    )


def _split(place: Place) -> tuple[str, int]:
    """Return host and port; an IPv6 address with a port is in brackets (RFC 3986 section 3.2.2)."""
    text = place.text()
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise place.wrong(f"{quoted(text)} is not a host, such as [2001:db8::25]:25")
        colon, port = rest[:1], rest[1:]
    elif text.count(":") > 1:
        return text, _DEFAULT.port
    else:
        host, colon, port = text.partition(":")
    if not colon:
        return host, _DEFAULT.port
    if not port:
        raise place.wrong(f"{quoted(text)} has no port after the colon")
    return host, Place(place.file, place.path, Scalar(place.node.line, port)).integer(1, PORT_MOST, "port")


def _name(place: Place, text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is not None:
        if address.is_unspecified or address.is_multicast:
            raise place.wrong(f"{text} is not an address to send mail to")
        return str(address)
    try:
        name = parse_domain(text.removesuffix("."))
    except BadAddress as error:
        raise place.wrong(f"{quoted(text)} is not the name or address of a host") from error
    if name.rpartition(".")[2].isdigit():
        raise place.wrong(f"{quoted(text)} is not an IP address, and no host has such a name")
    return name
