"""DMARC (RFC 7489): whose message this is, what its domain asks for, and whether SPF or DKIM speak for it."""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections.abc import Sequence
from email.utils import getaddresses
from functools import cache, lru_cache
from typing import Final

import publicsuffixlist

from services.scanners.auth import dkim, spf

_ANGLE = re.compile(r"<[^<>]*@([^<>@]*)>")
_FROM_LIMIT: Final = 4096  # characters
_POLICIES: Final = ("none", "quarantine", "reject")


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A domain's policy as published. `policy` is what applies to this From domain."""

    policy: str
    percent: int
    strict_dkim: bool
    strict_spf: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """`result` as in RFC 8601; `policy` is what to do about a fail, after pct (section 6.6.4)."""

    result: str
    domain: str
    policy: str = "none"
    reason: str = ""


@cache
def _suffixes() -> publicsuffixlist.PublicSuffixList:
    return publicsuffixlist.PublicSuffixList()


@lru_cache(maxsize=4096)  # asked for the same few names over and over within one message
def organizational(domain: str) -> str:
    """Return the organizational domain (section 3.2); a public suffix is its own."""
    return _suffixes().privatesuffix(domain) or domain


def delegated(domain: str) -> bool:
    """Return whether the top-level domain is one that exists, by the list of public suffixes that is installed."""
    return _suffixes().publicsuffix(domain, accept_unknown=False) is not None


def author_domain(from_values: Sequence[str]) -> tuple[str, str]:
    """Return the domain that the From field shows and "", or "" and why there is no such one domain.

    The values come unfolded and not decoded: an encoded word is a name and never an address (RFC 2047 section 5).
    """
    if len(from_values) != 1:
        return "", "no From field" if not from_values else "several From fields"
    if len(from_values[0]) > _FROM_LIMIT:
        return "", "From is too long"
    angles = [item.strip().rstrip(".").lower() for item in _ANGLE.findall(from_values[0])]
    domains = {
        address.rpartition("@")[2].strip().rstrip(".").lower()
        for _, address in getaddresses([from_values[0]])
        if "@" in address
    } or set(angles)
    if len(domains) != 1:
        return "", "no address in From" if not domains else "several domains in From"
    domain = domains.pop()
    if angles and angles[-1] != domain:
        return "", "From can be read in two ways"
    try:
        ascii_name = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        return "", "From has no usable domain"
    return (ascii_name, "") if ascii_name else ("", "From has no usable domain")


def names(domain: str) -> list[str]:
    """Return where a policy may be published, nearest first (section 6.6.3)."""
    own, above = f"_dmarc.{domain}", f"_dmarc.{organizational(domain)}"
    return [own] if own == above else [own, above]


def read(records: Sequence[bytes], *, subdomain: bool) -> Record | None:
    """Return the policy in the TXT records, None when there is none or more than one."""
    found = [tags for record in records if (tags := _tags(record)) is not None]
    if len(found) != 1:
        return None
    tags = found[0]
    policy = tags.get("p", "").lower()
    if policy not in _POLICIES:
        if "rua" not in tags:
            return None
        policy = "none"  # section 6.6.3 step 6
    if subdomain and tags.get("sp", "").lower() in _POLICIES:
        policy = tags["sp"].lower()
    # t=y took the place of pct=0 in RFC 9989: the owner only looks on, and a milder policy applies.
    percent = "0" if tags.get("t", "n").lower() == "y" else tags.get("pct", "100")
    return Record(
        policy,
        min(100, int(percent)) if percent.isascii() and percent.isdigit() and len(percent) <= 3 else 100,  # noqa: PLR2004  # "100"
        tags.get("adkim", "r").lower() == "s",
        tags.get("aspf", "r").lower() == "s",
    )


def _tags(record: bytes) -> dict[str, str] | None:
    pieces = record.decode("latin-1").split(";")
    name, _, version = pieces[0].partition("=")
    if name.strip() != "v" or version.strip() != "DMARC1":
        return None
    pairs = [piece.partition("=") for piece in pieces[1:] if "=" in piece]
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def evaluate(
    domain: str, record: Record, spf_result: spf.Result, dkim_results: Sequence[dkim.Result], message: str
) -> Result:
    """Return whether an aligned identifier passed. pct samples by the id `message`: the same id, the same answer.

    A look-up that gave no answer and could have changed the result makes it `temperror`, never a fail.
    """
    of_dkim = [item for item in dkim_results if aligned(item.domain, domain, strict=record.strict_dkim)]
    of_spf = [spf_result] if aligned(spf_result.domain, domain, strict=record.strict_spf) else []
    outcomes = {item.result for item in of_dkim} | {item.result for item in of_spf}
    if "pass" in outcomes:
        return Result("pass", domain, record.policy)
    if "temperror" in outcomes:
        return Result("temperror", domain, record.policy)
    return Result("fail", domain, _sampled(record, message))


def aligned(identifier: str, domain: str, *, strict: bool) -> bool:
    """Return whether the authenticated identifier speaks for the From domain (section 3.1)."""
    if not identifier or strict:
        return identifier == domain
    return organizational(identifier) == organizational(domain)


def _sampled(record: Record, message: str) -> str:
    if zlib.crc32(message.encode()) % 100 < record.percent:
        return record.policy
    return _POLICIES[max(0, _POLICIES.index(record.policy) - 1)]
