"""What DNS says of signing keys: whether their records are there, and are theirs."""

from __future__ import annotations

import enum

from services.core.errors import DnsUnavailable
from services.runtime.dkim_keys import Listed
from services.runtime.dns import Dns


class Published(enum.StrEnum):
    """What was found. The values are what `gatepost dkim check` prints."""

    RIGHT = "ok"
    MISSING = "there is no such record"
    SEVERAL = "several records, and there must be one"  # nobody knows which counts (RFC 6376 section 3.6.2.2)
    WRONG = "another key"
    UNKNOWN = "no answer from DNS"


async def published(dns: Dns, key: Listed) -> Published:
    """Return whether the key's record is published."""
    try:
        answer = await dns.resolve(key.name, "TXT")
    except DnsUnavailable:
        return Published.UNKNOWN
    records = [text if isinstance(text, str) else text.decode("utf-8", "replace") for text in answer]
    if not records:
        return Published.MISSING
    if len(records) > 1:
        return Published.SEVERAL
    return Published.RIGHT if _tags(records[0]) == _tags(key.stored.record) else Published.WRONG


def _tags(record: str) -> tuple[str, str]:
    """Return what makes two records the same key: its type and its octets."""
    pairs = (piece.partition("=") for piece in record.split(";"))
    tags = {name.strip(): "".join(value.split()) for name, _, value in pairs}
    return tags.get("k", "rsa"), tags.get("p", "")
