"""Whether a sender may be told that its mail failed. Pure.

A reverse-path is whatever the client wrote. A notification to one that nobody vouches for would be spam of our own
making, sent to whom a spammer names.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import publicsuffixlist

from schemas.events import Disposition, Status
from services.core.direction import outbound

_NEVER: Final = frozenset({Status.SPAM, Status.PHISHING, Status.VIRUS})
_PROPERTY = re.compile(r'(?:^|\s)(smtp\.mailfrom|header\.d)="?([A-Za-z0-9._-]+)"?(?=\s|$)')


@cache
def _suffixes() -> publicsuffixlist.PublicSuffixList:
    return publicsuffixlist.PublicSuffixList()


def _organization(domain: str) -> str:
    return _suffixes().privatesuffix(domain) or domain


def vouched(disposition: Disposition) -> bool:
    """Return whether SPF passed for the reverse-path's domain, or DKIM for one of its organisation (RFC 7489 3.1).

    What goes out is vouched for: submission saw whose sender it is. Else never for what a scanner called spam, phishing
    or a virus; and in no case for the null sender.
    """
    domain = disposition.received.envelope.reverse_path.rpartition("@")[2].rstrip(".").lower()
    if domain and outbound(disposition.received):  # it was handed in by who may use the address
        return True
    if not domain or disposition.received.bounce_of or disposition.status in _NEVER:
        return False
    for method, text in disposition.auth_results:
        found = dict(_PROPERTY.findall(text)) if text == "pass" or text.startswith("pass ") else {}
        if method == "spf" and found.get("smtp.mailfrom", "").lower() == domain:
            return True
        signer = found.get("header.d", "").lower()
        if method == "dkim" and signer and _organization(signer) == _organization(domain):
            return True
    return False
