"""Mail addresses as SMTP writes them: RFC 5321 section 4.1.2, with the UTF-8 of RFC 6531. Strict, and its own.

What the parser takes is what every later stage may rely on: an address never holds a control character, an unquoted
space, an unquoted angle bracket or a second reading. A source route is refused: RFC 5321 keeps it only for machines
long gone, and open-relay probes use it. '%' and '!' in a local part are letters like any other and route nothing.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import Final, NamedTuple

import idna

from services.core.errors import BadAddress

LOCAL_LIMIT: Final = 255  # octets. RFC 5321 asks for 64 at least; tagged and rewritten senders (VERP, SRS) go beyond
DOMAIN_LIMIT: Final = 255  # octets
LABEL_LIMIT: Final = 63  # octets

_UTF8 = "\u00a0-\ud7ff\ue000-\U0010ffff"  # no C1 controls, no surrogates
_ATOM = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_UTF8}-]+"
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_QUOTED = re.compile(rf'"(?:[ !#-\[\]-~{_UTF8}]|\\[ -~])*"')
_PAIR = re.compile(r"\\(.)")
_NEEDS_PAIR = re.compile(r'(["\\])')
# An underscore is no letter of a host name, but hosts that send mail have it, and nothing breaks by it.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_IPV6_TAG = "ipv6:"


class Address(NamedTuple):
    """A mailbox. Two are equal when they are the same mailbox by RFC 5321: only a domain ignores case."""

    local: str  # without quotes
    domain: str  # lower case, A-labels; or a literal in brackets

    def __str__(self) -> str:
        """Return the address as SMTP writes it: `parse` gives the same Address back."""
        return f"{quote(self.local)}@{self.domain}"

    @property
    def ascii(self) -> bool:
        """Whether the address can travel without SMTPUTF8 (RFC 6531)."""
        return self.local.isascii()

    @property
    def canonical(self) -> str:
        """The form under which a directory knows it: local parts that differ only in case are one recipient."""
        return f"{unicodedata.normalize('NFC', self.local.casefold())}@{self.domain}"


def quote(local: str) -> str:
    """Return the local part as SMTP writes it, in quotes only where it needs them."""
    if _DOT_STRING.fullmatch(local):
        return local
    return '"' + _NEEDS_PAIR.sub(r"\\\1", local) + '"'


def parse(text: str) -> Address:
    """Return the Address in `local@domain`; raise BadAddress, whose text holds no part of `text`, for anything else."""
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if quoted is None:
            raise BadAddress("the quoted local part never ends, or holds what it must not")
        local, rest = _PAIR.sub(r"\1", quoted[0][1:-1]), text[quoted.end() :]
    else:
        dotted = _DOT_STRING.match(text)
        if dotted is None:
            raise BadAddress("no local part")
        local, rest = dotted[0], text[dotted.end() :]
    if not rest.startswith("@"):
        raise BadAddress("no @ after the local part")
    if len(local.encode()) > LOCAL_LIMIT:
        raise BadAddress(f"a local part over {LOCAL_LIMIT} octets")
    return Address(local, _domain(rest[1:]))


def parse_domain(text: str) -> str:
    """Return the name in lower case and A-labels (RFC 5890); raise BadAddress for anything else, also a literal."""
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise BadAddress("not an internationalised domain name") from error
    if len(text) > DOMAIN_LIMIT or _HOST.fullmatch(text) is None:
        raise BadAddress("not a domain name")
    return text.lower()


def _domain(text: str) -> str:
    if text.startswith("["):
        return _literal(text)
    return parse_domain(text)


def _literal(text: str) -> str:
    """Return the address literal in one spelling (RFC 5321 section 4.1.3)."""
    inside = text[1:-1]
    if text.endswith("]") and text.isascii():
        try:
            if inside.lower().startswith(_IPV6_TAG) and "%" not in inside:
                return f"[IPv6:{ipaddress.IPv6Address(inside[len(_IPV6_TAG) :])}]"
            return f"[{ipaddress.IPv4Address(inside)}]"
        except ValueError:
            pass
    raise BadAddress("not an address literal")
