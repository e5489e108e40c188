"""How a message travelled, by its Received fields: whether names and addresses fit, and never which they are."""

from __future__ import annotations

import re
from typing import Final

from services.scanners import text
from services.scanners.auth.dmarc import organizational
from services.scanners.facts import Facts

_HOPS: Final = 20
_HOP = re.compile(
    r"\s*from\s+(\S{1,255})(?:\s+\(([^()]{0,500}(?:\([^()]{0,200}\)[^()]{0,200}){0,3})\))?", re.IGNORECASE
)
_HOST = re.compile(r"(?<![\w.@-])((?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24})", re.IGNORECASE)
_ADDRESS = re.compile(r"\b(\d{1,3}(?:\.\d{1,3}){3})\b")
_INSIDE: Final = ("127.", "10.", "192.168.")
_DYNAMIC = re.compile(r"\d+[.-]\d+[.-]\d+|dial|dsl|cable|ppp|pool|dyn|client")


def features(facts: Facts, found: set[str]) -> None:
    """Add what is odd about the hops, and whether the domain of From had a part in them."""
    own = organizational(facts.from_domain) if facts.from_domain else ""
    seen = False
    for value in facts.mail.values("received")[:_HOPS]:
        hop = _HOP.match(text.from_bytes(value[:2000]).replace("\r", "").replace("\n", " "))
        if hop is None:
            continue
        seen = seen or any(organizational(host.lower()) == own for host in _HOST.findall(hop.group())[:6])
        _odd(hop.group(1).lower().strip("[]"), (hop.group(2) or "").lower(), found)
    helo = facts.mail.received.envelope.helo.lower()
    if own:
        found.add("path:sender" if seen or (helo and organizational(helo) == own) else "path:never-sender")


def _odd(helo: str, comment: str, found: set[str]) -> None:
    address = _ADDRESS.search(comment)
    if address is None or address.group(1).startswith(_INSIDE):
        return
    names = _HOST.findall(comment)
    if "unknown" in comment or not names:
        found.add("path:no-name")
    elif "." in helo and organizational(names[0]) != organizational(helo):
        found.add("path:other-name")
    if "." not in helo:
        found.add("path:bare-name")
    if re.fullmatch(r"[\d.]+", helo):
        found.add("path:address-as-name")
    if names and _DYNAMIC.search(names[0]):
        found.add("path:dialled-in")
