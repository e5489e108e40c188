"""What is thought of a client before it has sent anything: a score with its reasons. Pure; `reputation_lookup` asks.

No answer is no opinion: a list that is down, or refuses to answer, blocks nobody. A HELO name is never alone a reason
to refuse (RFC 5321 section 4.1.4); it adds to a score.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final

from schemas.events import Evidence
from services.core.errors import ConfigError
from services.core.networks import Networks

Answer = Sequence[str | bytes]

WEIGHT_MOST: Final = 100.0
_ITEM: Final = re.compile(r"([A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,200}[A-Za-z0-9_])?)=(-?[0-9]{1,3}(?:\.[0-9]{1,3})?)")
_LISTED: Final = ipaddress.ip_network("127.0.0.0/8")  # RFC 5782 section 2.1
_NOT_ANSWERED: Final = ipaddress.ip_network("127.255.255.0/24")  # lists say by it: wrong question, or too many of them
_LITERAL: Final = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f.:]+)\]", re.IGNORECASE)

NO_REVERSE: Final = 1.0
REVERSE_DIFFERS: Final = 0.5
HELO_ODD: Final = 0.5
HELO_FORGED: Final = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class DnsList:
    """One DNS list (RFC 5782). A negative weight makes it a list of the good."""

    zone: str
    weight: float


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What was found out about an address. None is no answer."""

    listed: tuple[tuple[DnsList, Answer | None], ...] = ()
    names: tuple[str, ...] | None = None  # what the reverse zone calls it
    confirmed: bool | None = None  # one of the names leads back to it


@dataclasses.dataclass(frozen=True, slots=True)
class Reputation:
    """The sum of the reasons."""

    score: float = 0.0
    evidence: tuple[Evidence, ...] = ()


def parse_lists(items: Iterable[str]) -> tuple[DnsList, ...]:
    """Return the lists in `zone=weight`; raise ConfigError for anything else."""
    found: list[DnsList] = []
    for item in items:
        match = _ITEM.fullmatch(item)
        if match is None or not 0 < abs(float(match[2])) <= WEIGHT_MOST:
            raise ConfigError(f"GATEPOST_INGRESS_DNSBL: {item[:80]!r} is not zone=weight, such as zen.example=3")
        found.append(DnsList(match[1].lower(), float(match[2])))
    return tuple(found)


def question(ip: str, zone: str) -> str:
    """Return the name to ask for (RFC 5782 section 2.1 and 2.4): octets or nibbles, the last first."""
    pointer = ipaddress.ip_address(ip).reverse_pointer
    return f"{pointer.removesuffix('.in-addr.arpa').removesuffix('.ip6.arpa')}.{zone}"


def on_list(answer: Answer) -> bool:
    """Return whether the answer says that the address is listed; a parked zone answers anything, and says nothing."""
    for record in answer:
        try:
            address = ipaddress.ip_address(record if isinstance(record, str) else record.decode("ascii"))
        except (ValueError, UnicodeDecodeError):
            continue
        if address in _LISTED and address not in _NOT_ANSWERED:
            return True
    return False


def on_file(code: str, ip: str, networks: Networks, where: str) -> tuple[Evidence, ...]:
    """Return which network of the operator's or a customer's own list has the address; nothing when none has."""
    network = networks.that_has(ip)
    return () if network is None else (Evidence(code=code, text=f"{network} is on {where}"),)


def weigh(ip: str, facts: Facts) -> Reputation:
    """Return what the facts amount to."""
    reasons = [
        Evidence(
            code="FRONT_LISTED" if each.weight > 0 else "FRONT_WELCOME",
            text=f"{ip} is on {each.zone}",
            score=each.weight,
        )
        for each, answer in facts.listed
        if answer is not None and on_list(answer)
    ]
    if facts.names == ():
        reasons.append(Evidence(code="FRONT_NO_REVERSE_DNS", text=f"{ip} has no name in DNS", score=NO_REVERSE))
    elif facts.names and facts.confirmed is False:
        text = f"no name of {ip} in DNS leads back to it"
        reasons.append(Evidence(code="FRONT_REVERSE_DNS_DIFFERS", text=text, score=REVERSE_DIFFERS))
    return summed(reasons)


def greeted(helo: str, ip: str, hostname: str) -> Evidence | None:
    """Return what is odd about the name a client calls itself by; None when nothing is."""
    name = helo.lower().rstrip(".")
    if name == hostname.lower() or name in {"localhost", "localhost.localdomain"}:
        return Evidence(code="FRONT_HELO_FORGED", text="calls itself by our name", score=HELO_FORGED)
    literal = _LITERAL.fullmatch(helo)
    if literal is not None:
        try:
            own = ipaddress.ip_address(literal[1]) == ipaddress.ip_address(ip)
        except ValueError:
            own = False
        if not own:
            return Evidence(code="FRONT_HELO_ODD", text="calls itself by another's address", score=HELO_ODD)
        return None
    try:
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        return Evidence(code="FRONT_HELO_ODD", text="calls itself by an address without brackets", score=HELO_ODD)
    if "." not in name:
        return Evidence(code="FRONT_HELO_ODD", text="calls itself by a name that is in no domain", score=HELO_ODD)
    return None


def with_helo(reputation: Reputation, evidence: Evidence | None) -> Reputation:
    """Return the reputation with one reason more."""
    return reputation if evidence is None else summed((*reputation.evidence, evidence))


def summed(reasons: Iterable[Evidence]) -> Reputation:
    """Return the reasons with their sum."""
    evidence = tuple(reasons)
    return Reputation(round(sum(each.score for each in evidence), 3), evidence)
