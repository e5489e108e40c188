"""A URL as a browser would follow it (the WHATWG's standard), whatever tricks it is written with."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from functools import lru_cache
from typing import Final

from ada_url import URL, HostType

from services.scanners.auth.dmarc import organizational
from services.scanners.text import clean

LONGEST: Final = 8_192  # characters; browsers and servers go little further
_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{0,30}):")
_DROPPED: Final = re.compile(r"[\t\r\n]")  # a browser takes these out before it reads a URL
_AROUND: Final = "".join(map(chr, range(33)))  # C0 controls and space: taken off both ends
_AUTHORITY: Final = re.compile(r"[a-zA-Z]+:[\\/]*([^\\/?#]*)")
_HEAD: Final = re.compile(r"[a-zA-Z\t\r\n]+:[\\/\t\r\n]*[^\\/?#]*")
_WEB: Final = frozenset({"http", "https", "ftp", "ws", "wss"})
_USUAL_PORTS: Final = frozenset({"", "80", "443", "8080", "8443"})


@dataclasses.dataclass(frozen=True, slots=True)
class Url:
    """A URL in canonical form. `host` is in A-labels without a final dot; empty for schemes that have none."""

    href: str
    scheme: str
    host: str = ""
    domain: str = ""  # the registered domain, by the list of public suffixes; the host itself for an address
    path: str = ""
    query: str = ""
    fragment: str = ""
    user: str = ""
    address: bool = False  # the host is an IP address that the Internet routes
    hidden: str = ""  # how the host was hidden, for a person; empty: it was not
    odd_port: str = ""

    @property
    def shown(self) -> str:
        """Return the host as a person may read it: as Unicode too where it is an internationalised name."""
        return shown(self.host)


def shown(host: str) -> str:
    """Return a host name for evidence: bounded and printable, `bücher.example (xn--bcher-kva.example)`."""
    human = to_unicode(host)
    return clean(host, 100) if human == host else clean(f"{human} ({host})", 160)


def to_unicode(host: str) -> str:
    """Return the host with its A-labels decoded; what doesn't decode stays."""
    if "xn--" not in host:
        return host
    return ".".join(_decoded(label) for label in host.split("."))


def _decoded(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError):
        return label


@lru_cache(maxsize=16_384)
def domain_of(host: str) -> str:
    """Return the registered domain of a host, the host itself where there is none."""
    return organizational(host)


@lru_cache(maxsize=8_192)
def parse(raw: str) -> Url | None:
    """Return the URL as a browser reads it, None for what it wouldn't follow anywhere. Relative ones are none."""
    text = _DROPPED.sub("", raw[:LONGEST].strip(_AROUND))
    if text.startswith(("//", "\\\\", "/\\", "\\/")):
        text = f"http:{text}"
    elif text[:4].lower() == "www.":
        text = f"http://{text}"
    found = _SCHEME.match(text)
    if found is None:
        return None
    scheme = found.group(1).lower()
    if scheme not in _WEB:
        return Url(text[:LONGEST], scheme, path=text[found.end() :])
    try:
        read = URL(text)
    except ValueError:
        return None
    host = read.hostname.rstrip(".")
    if not host:
        return None
    is_address = read.host_type is not HostType.DEFAULT
    domain = host if is_address else domain_of(host)
    return Url(
        read.href,
        scheme,
        host,
        domain,
        read.pathname,
        read.search,
        read.hash,
        read.username,
        address=is_address and _routed(host),
        hidden=_hiding(raw, text, host, is_address=is_address),
        odd_port="" if read.port in _USUAL_PORTS else read.port,
    )


def _routed(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return False


def _hiding(raw: str, text: str, host: str, *, is_address: bool) -> str:  # noqa: PLR0911  # one return a trick
    """Return how the host was written so that a person or a filter reads another, empty when it wasn't."""
    found = _AUTHORITY.match(text)
    written = found.group(1).rpartition("@")[2] if found else ""
    name = written.lower().rstrip(".")
    if not name.startswith("["):
        name = name.partition(":")[0].rstrip(".")
    if name == host or not written:
        head = _HEAD.match(raw.strip(_AROUND)[: len(host) + 32])
        if head and _DROPPED.search(head.group().rstrip("\t\r\n")):
            return "broken over lines"
        return "with backslashes" if text.find("\\", 0, 10) >= 0 else ""
    if is_address:
        return "" if name.startswith("[") else "an address written as a number"
    if "%" in name:
        return "percent-encoded"
    if "\\" in written:
        return "with backslashes"
    if not name.isascii() and host.isascii() and "xn--" not in host:
        return "in letters that only look like ASCII"
    return ""
