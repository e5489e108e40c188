"""Hosts as an operator writes them: `mx1.acme.example`, `10.0.0.9:2525`, `[2001:db8::25]:25`, or a mapping."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from typing import Final

from schemas.events import Host
from services.core.address import parse_domain
from services.core.errors import BadAddress
from services.core.tree import Place, Scalar, quoted

PORT_MOST: Final = 65_535
PREFERENCE_MOST: Final = 65_535  # as an MX record has it (RFC 1035 section 3.3.9)
_DEFAULT: Final = Host(host="")


LOOKUPS: Final = {"address": "", "mx": "mx", "srv": "srv"}
TLS_LEVELS: Final = {name: name for name in ("opportunistic", "none", "required", "verified", "pinned")}
_CA_FILE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


@dataclasses.dataclass(frozen=True, slots=True)
class Tls:
    """What is asked of the TLS of a host; empty level: what comes with it anyway."""

    level: str = ""
    ca_file: str = ""


def parse_tls(place: Place) -> Tls:
    """Return a TLS setting: a level, or `{level: pinned, ca_file: NAME}`; raise ConfigError for any other."""
    if isinstance(place.node, Scalar) and not place.node.null:
        level, ca_file = place.choice(TLS_LEVELS), ""
    else:
        fields = place.fields("level", "ca_file", required=["level"])
        level = fields["level"].choice(TLS_LEVELS)
        ca_file = fields["ca_file"].text() if "ca_file" in fields else ""
        if ca_file and not _CA_FILE.fullmatch(ca_file):
            raise fields["ca_file"].wrong(f"{quoted(ca_file)} is not the name of a file in GATEPOST_RELAY_CA_FOLDER")
    if (level == "pinned") != bool(ca_file):
        raise place.wrong("ca_file goes with pinned, and pinned with ca_file")
    return Tls("" if level == "opportunistic" else level, ca_file)


def parse_host(place: Place, tls: Tls) -> Host:
    """Return the host; raise ConfigError for what is no name, no address to send to, or no port.

    `tls` is the setting of its domain, which its own wins over.
    """
    if isinstance(place.node, Scalar) and not place.node.null:
        name, port = _split(place)
        return Host(host=_name(place, name), port=port, tls=tls.level, ca_file=tls.ca_file)
    fields = place.fields("host", "port", "preference", "lookup", "tls", required=["host"])
    if "tls" in fields:
        tls = parse_tls(fields["tls"])
    lookup = fields["lookup"].choice(LOOKUPS) if "lookup" in fields else ""
    if lookup and fields["host"].text().replace(".", "").isdigit():
        raise fields["lookup"].wrong("an address has no such records")
    if lookup == "srv" and "port" in fields:
        raise fields["port"].wrong("an SRV record names the port")
    return Host(
        lookup=lookup,
        tls=tls.level,
        ca_file=tls.ca_file,
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
