"""The directories of a customer as an operator writes them, in the `directory` section of the customers file.

    directory:
      - url: ldaps://ldap.acme.example
        base: dc=acme,dc=example
        bind_dn: cn=gatepost,dc=acme,dc=example
        password_env: GATEPOST_LDAP_ACME

A password is never written there. It is named: a variable of the service that begins with GATEPOST_LDAP_, or a file in
its folder of secrets. What a customers file may name ends there, so that it can send no other secret to a server. What
the console was told stands there sealed, for one server and one name.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from schemas.events import LdapSource
from services.core.address import parse_domain
from services.core.directory_groups import EVERY, NAME
from services.core.errors import BadAddress, ConfigError
from services.core.tree import Place, quoted

PORTS: Final = {"ldaps": 636, "ldap": 389}
SOURCES_MOST: Final = 16  # of one customer
MINUTES_LEAST, MINUTES_MOST = 1, 1_440
FULL_EVERY_MOST: Final = 1_000
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_VARIABLE: Final = re.compile(r"GATEPOST_LDAP_[A-Z0-9_]{1,64}")
_SECRET: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,100}")
_SEALED: Final = re.compile(r"[A-Za-z0-9+/]{24,6000}={0,2}")
_SECRETS: Final = ("password_env", "password_file", "password_sealed")
_ATTRIBUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,100}")
_YES_NO: Final = {"yes": True, "true": True, "no": False, "false": False}


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an LDAP URL points."""

    tls_first: bool  # ldaps; otherwise StartTLS
    host: str  # a name in A-labels, or an IP address without brackets
    port: int


def endpoint(url: str) -> Endpoint:
    """Return where `ldap[s]://HOST[:PORT]` points; raise ConfigError for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError("not a URL with a port from 1 to 65535") from error
    if parts.scheme not in PORTS or not parts.hostname or port == 0:
        raise ConfigError("not ldaps://HOST[:PORT] or ldap://HOST[:PORT]")
    if parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError("a URL of a server alone: user, base and filter are keys of their own")
    return Endpoint(parts.scheme == "ldaps", _host(parts.hostname), port or PORTS[parts.scheme])


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return parse_domain(text)
    except BadAddress as error:
        raise ConfigError("not the name or address of a host") from error


def sealed_for(source: LdapSource) -> str:
    """Return what a sealed password is bound to: copied to another server or name it opens nothing."""
    return f"{source.url}\n{source.bind_dn}"


def is_loopback(host: str) -> bool:
    """Return whether the host, as written, is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_directory(place: Place) -> tuple[LdapSource, ...]:
    """Return the directories in the order written; raise ConfigError for the first mistake."""
    items = place.items("a list of directories")
    if len(items) > SOURCES_MOST:
        raise place.wrong(f"more than {SOURCES_MOST} directories")
    sources: dict[str, LdapSource] = {}
    for item in items:
        source = _source(item)
        if source.name in sources:
            raise item.wrong(f"a second directory named {source.name}; each has a `name` of its own")
        sources[source.name] = source
    return tuple(sources.values())


def _source(place: Place) -> LdapSource:
    fields = place.fields(*_KEYS, required=["url", "base"])
    texts = {key: _matching(fields[key], pattern, what) for key, (pattern, what) in _PATTERNS.items() if key in fields}
    source = LdapSource(
        url=_url(fields["url"]),
        base=fields["base"].text(),
        filter=_filter(fields["filter"]) if "filter" in fields else "",
        attributes=tuple(_matching(each, _ATTRIBUTE, "an attribute") for each in fields["attributes"].members())
        if "attributes" in fields
        else (),
        groups=tuple(dict.fromkeys(_group(each) for each in fields["groups"].members())) if "groups" in fields else (),
        bind_dn=fields["bind_dn"].text() if "bind_dn" in fields else "",
        plain=fields["plain"].choice(_YES_NO) if "plain" in fields else False,
        public=fields["public"].choice(_YES_NO) if "public" in fields else False,
        interval_seconds=60 * fields["every_minutes"].number(MINUTES_LEAST, MINUTES_MOST)
        if "every_minutes" in fields
        else _DEFAULT.interval_seconds,
        full_every=fields["full_every"].integer(1, FULL_EVERY_MOST) if "full_every" in fields else _DEFAULT.full_every,
        drop_share=fields["drop_percent"].number(0, 100) / 100 if "drop_percent" in fields else _DEFAULT.drop_share,
        **texts,
    )
    _check_together(place, source)
    return source


def _check_together(place: Place, source: LdapSource) -> None:
    secrets = [key for key in _SECRETS if getattr(source, key)]
    if len(secrets) > 1:
        raise place.wrong(f"{' and '.join(secrets)}: one of them")
    if bool(secrets) != bool(source.bind_dn):
        raise place.wrong("bind_dn goes with password_env or password_file, and neither without the other")
    if source.plain:
        where = endpoint(source.url)
        if where.tls_first or not is_loopback(where.host):
            raise place.wrong("plain is for ldap:// on this machine alone: passwords and addresses would be readable")


def _url(place: Place) -> str:
    text = place.text()
    try:
        endpoint(text)
    except ConfigError as error:
        raise place.wrong(str(error)) from error  # not with the text: somebody may have put a password in it
    return text


def is_source_name(text: str) -> bool:
    """Return whether a directory may be called so."""
    return _NAME.fullmatch(text) is not None


def is_filter(text: str) -> bool:
    """Return whether it is in one pair of brackets; the directory's parser says the rest when it is used."""
    text = text.strip()
    depth = 0
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth < 1 and index < len(text) - 1:
            return False
    return depth == 0 and text.endswith(")")


def _filter(place: Place) -> str:
    text = place.text().strip()
    if is_filter(text):
        return text
    raise place.wrong(f"{quoted(text)} is not a filter, such as (&(objectClass=person)(mail=*))")


def is_group(text: str) -> bool:
    """Return whether it names a group of a directory, or all of them."""
    return text == EVERY or NAME.fullmatch(text) is not None


def _group(place: Place) -> str:
    text = place.text()
    if not is_group(text):
        raise place.wrong(f"{quoted(text)} is no name of a group as rules write it (a-z, 0-9 and -), nor *")
    return text


def _matching(place: Place, pattern: re.Pattern[str], what: str) -> str:
    text = place.text()
    if not pattern.fullmatch(text):
        raise place.wrong(f"{quoted(text)} is not {what}")
    return text


_DEFAULT: Final = LdapSource(url="", base="")
_PATTERNS: Final = {
    "name": (_NAME, "a name: 1 to 32 of a-z, 0-9 and -, no - at an end"),
    "password_env": (_VARIABLE, "the name of a variable that begins with GATEPOST_LDAP_"),
    "password_file": (_SECRET, "the name of a file in the folder of secrets"),
    "password_sealed": (_SEALED, "a password that the console has sealed"),
    "ca_file": (_SECRET, "the name of a file in the folder of secrets"),
}
_KEYS: Final = (
    *("name", "url", "base", "filter", "attributes", "groups", "bind_dn", "password_env", "password_file", "ca_file"),
    *("password_sealed", "public", "plain", "every_minutes", "full_every", "drop_percent"),
)
