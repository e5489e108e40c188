"""What DNS says of a domain that sends through us: SPF and DMARC. DKIM's are `runtime.dkim_records`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.core.errors import DnsUnavailable
from services.runtime.dkim_records import Published
from services.runtime.dns import Answer, Dns
from services.scanners.auth.spf import NeedsDns, Question, evaluate

QUESTIONS_MOST: Final = 40  # of one evaluation; SPF itself allows ten terms that ask
_SPF, _DMARC = "v=spf1", "v=DMARC1"


async def spf(dns: Dns, domain: str, wanted: Sequence[str], addresses: Sequence[str]) -> Published:
    """Return whether the domain's SPF record lets our mail pass.

    `addresses`: some of ours, for which the record is evaluated (RFC 7208); without any it has to name all of `wanted`.
    """
    try:
        records = [text for text in await _texts(dns, domain) if text.lower().split(" ")[0] == _SPF]
        if len(records) != 1:
            return Published.SEVERAL if records else Published.MISSING
        if not addresses:
            terms = {term.lower().lstrip("+") for term in records[0].split()}
            return Published.RIGHT if {term.lower() for term in wanted} <= terms else Published.WRONG
        results = [await _evaluated(dns, domain, address) for address in addresses]
    except DnsUnavailable:
        return Published.UNKNOWN
    return Published.RIGHT if set(results) == {"pass"} else Published.WRONG


async def dmarc(dns: Dns, domain: str) -> tuple[Published, str]:
    """Return whether there is one DMARC record at the domain itself, and its policy, such as reject."""
    try:
        records = [text for text in await _texts(dns, f"_dmarc.{domain}") if text.startswith(_DMARC)]
    except DnsUnavailable:
        return Published.UNKNOWN, ""
    if len(records) != 1:
        return (Published.SEVERAL if records else Published.MISSING), ""
    tags = dict(piece.partition("=")[::2] for piece in records[0].replace(" ", "").split(";"))
    policy = tags.get("p", "").lower()
    return (Published.RIGHT, policy) if policy in {"none", "quarantine", "reject"} else (Published.WRONG, "")


async def _texts(dns: Dns, name: str) -> list[str]:
    answer = await dns.resolve(name, "TXT")
    return [text if isinstance(text, str) else text.decode("utf-8", "replace") for text in answer]


async def _evaluated(dns: Dns, domain: str, address: str) -> str:
    answers: dict[Question, Answer | None] = {}
    for _ in range(QUESTIONS_MOST):
        try:
            return evaluate(address, f"postmaster@{domain}", domain, answers).result
        except NeedsDns as missing:
            answers[missing.question] = await dns.resolve(*missing.question)
    return "permerror"
