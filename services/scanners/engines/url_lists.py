"""DNS lists of domains (RFC 5782 section 2.3): SURBL, URIBL, DBL and their like. Pure but for `ask`.

No answer is no opinion, whatever the reason: a list that is down, or refuses to answer, harms nobody.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final

from services.core.errors import ConfigError, DnsUnavailable
from services.runtime.dns import Answer, Dns

DOMAINS_MOST: Final = 25  # of one message that are asked for
PATIENCE: Final = 3.0  # seconds for all questions of a message; the cache keeps answers for their TTL
WEIGHT_MOST: Final = 100.0
_ITEM: Final = re.compile(
    r"(fresh:)?([A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,200}[A-Za-z0-9_])?)=([0-9]{1,3}(?:\.[0-9]{1,3})?)"
)
_LISTED: Final = ipaddress.ip_network("127.0.0.0/8")
_NOT_ANSWERED: Final = ipaddress.ip_network("127.255.255.0/24")  # wrong question, a public resolver, or too many
_REFUSED: Final = ipaddress.ip_address("127.0.0.1")  # how SURBL and URIBL say that they don't answer us
_MISUSED: Final = ipaddress.ip_address("127.0.1.255")  # how the DBL says that it was asked for an address


@dataclasses.dataclass(frozen=True, slots=True)
class UrlList:
    """One list. `fresh`: it holds domains that were registered or seen first a short time ago."""

    zone: str
    weight: float
    fresh: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Hit:
    """A domain that a list holds."""

    domain: str
    listed: UrlList


def parse_lists(items: Iterable[str]) -> tuple[UrlList, ...]:
    """Return the lists in `[fresh:]zone=weight`; raise ConfigError for anything else."""
    found: list[UrlList] = []
    for item in items:
        match = _ITEM.fullmatch(item)
        if match is None or not 0 < float(match[3]) <= WEIGHT_MOST:
            raise ConfigError(f"GATEPOST_URL_LISTS: {item[:80]!r} is not zone=weight, such as dbl.example=6")
        found.append(UrlList(match[2].lower(), float(match[3]), bool(match[1])))
    return tuple(found)


def says_listed(answer: Answer) -> bool:
    """Return whether an answer means that the domain is listed; a parked zone answers anything, and says nothing."""
    for record in answer:
        try:
            address = ipaddress.ip_address(record if isinstance(record, str) else record.decode("ascii"))
        except (ValueError, UnicodeDecodeError):
            continue
        if address in _LISTED and address not in _NOT_ANSWERED and address not in {_REFUSED, _MISUSED}:
            return True
    return False


async def ask(dns: Dns, lists: Sequence[UrlList], domains: Sequence[str]) -> list[Hit]:
    """Return what the lists hold of the domains, as far as they answered within PATIENCE seconds in all."""
    if not lists or not domains:
        return []
    pairs = [(each, domain) for domain in domains[:DOMAINS_MOST] for each in lists if len(domain) < 180]  # noqa: PLR2004  # with the zone it must fit a name
    tasks = [asyncio.create_task(_one(dns, each, domain)) for each, domain in pairs]
    try:
        done, _ = await asyncio.wait(tasks, timeout=PATIENCE) if tasks else (set(), set())
        return [task.result() for task in tasks if task in done and task.result() is not None]  # type: ignore[misc]  # None is left out
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _one(dns: Dns, each: UrlList, domain: str) -> Hit | None:
    try:
        answer = await dns.resolve(f"{domain}.{each.zone}", "A")
    except DnsUnavailable:
        return None
    return Hit(domain, each) if says_listed(answer) else None
