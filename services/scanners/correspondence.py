"""What a message says that it answers or returns: the Message-IDs that it names, as digests under the customer's salt.

Worked out in a worker; whether the customer sent such messages the parent process knows (`decide.corresponding`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from services.core.heading import bare_id
from services.core.sent import PAIRS_MOST, message_digest, pair_digest, sender_digest
from services.scanners.mail import Mail

REFERENCES_MOST: Final = 20  # the last ones: those of the message that is answered, and its thread
RETURNED_MOST: Final = 10
_SEARCHED: Final = 262_144  # octets of a bounce
_PARTS: Final = 10
_HEADERS: Final = frozenset({"text/rfc822-headers", "message/global-headers", "text/plain"})
_ID: Final = re.compile(rb"<([^<>\s]{3,250})>")
_FIELD: Final = re.compile(rb"^message-id:[ \t]*(?:\r?\n[ \t]+)?<([^<>\s]{3,250})>", re.IGNORECASE | re.MULTILINE)


def refers(mail: Mail, salt: str) -> tuple[str, ...]:
    """Return the digests of the messages that it names, the likeliest first; none without a salt."""
    if not salt:
        return ()
    found = dict.fromkeys(bare_id(raw.decode("utf-8", "replace")) for raw in _named(mail))
    return tuple(digest for each in found if (digest := message_digest(salt, each)))


def pairs(mail: Mail, author: str, salt: str) -> tuple[str, ...]:
    """Return the digests of each recipient with who writes, as they are when the recipient wrote first."""
    recipients = mail.received.envelope.recipients[:PAIRS_MOST] if salt and author else ()
    return tuple(digest for each in recipients if (digest := pair_digest(salt, each, author)))


def readers(mail: Mail, salt: str) -> tuple[str, ...]:
    """Return the digests of the recipients as they are when they send."""
    return tuple(sender_digest(salt, each) for each in mail.received.envelope.recipients[:PAIRS_MOST]) if salt else ()


def _named(mail: Mail) -> Iterator[bytes]:
    for name in ("in-reply-to", "references"):
        for value in mail.values(name)[:1]:
            yield from reversed(_ID.findall(value[-_SEARCHED:])[-REFERENCES_MOST:])
    if not mail.received.envelope.reverse_path:
        yield from _returned(mail)


def _returned(mail: Mail) -> Iterator[bytes]:
    """Yield the Message-IDs that a bounce shows of what it returns, in whatever form it shows them."""
    yield from _FIELD.findall(bytes(mail.tree.body[:_SEARCHED]))[:RETURNED_MOST]
    for part in [part for part in mail.parts if part.content_type in _HEADERS][:_PARTS]:
        yield from _FIELD.findall(part.data[:_SEARCHED])[:RETURNED_MOST]
