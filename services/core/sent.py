"""What a customer has sent lately, as digests in bounded memory: it tells replies, bounces and backscatter apart.

It holds what went out through us alone. A customer may send by other ways too, so that something isn't here is evidence
at most, and nothing before much is known of the customer.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from schemas.events import Contact, Received, Sent
from services.core.contacts import Acquaintance, Contacts

PAIRS_MOST: Final = 100  # recipients of one message that are remembered


def message_digest(salt_hex: str, message_id: str) -> str:
    """Return 64 bits of the HMAC-SHA256 of a Message-ID without its brackets; empty where either is none."""
    return _digest(salt_hex, b"message", message_id)


def sender_digest(salt_hex: str, address: str) -> str:
    """Return the digest of who sent, whatever the case of its letters."""
    return _digest(salt_hex, b"sender", address.lower())


def pair_digest(salt_hex: str, sender: str, recipient: str) -> str:
    """Return the digest of one who wrote to another."""
    return _digest(salt_hex, b"pair", f"{sender.lower()} {recipient.lower()}" if sender and recipient else "")


def _digest(salt_hex: str, kind: bytes, text: str) -> str:
    try:
        salt = bytes.fromhex(salt_hex)
    except ValueError:
        return ""
    if not salt or not text:
        return ""
    return hmac.digest(salt, kind + b" " + text.encode("utf-8", "replace"), hashlib.sha256)[:8].hex()


def sent(received: Received, salt_hex: str, recipients: Iterable[str], now: float) -> Sent:
    """Return what is to be remembered of a message that goes out to these recipients."""
    path = received.envelope.reverse_path
    pairs = [pair_digest(salt_hex, path, each) for each in list(recipients)[:PAIRS_MOST]]
    return Sent(
        customer=received.customer,
        message=message_digest(salt_hex, received.message_id),
        sender=sender_digest(salt_hex, path),
        pairs=tuple(pair for pair in pairs if pair),
        at=now,
    )


class SentMail:
    """The mail of all customers, fed with the records of mail.sent.v1."""

    def __init__(self) -> None:
        self._messages, self._senders, self._pairs = Contacts(), Contacts(), Contacts()
        self._all = (self._messages, self._senders, self._pairs)

    def caught_up(self) -> None:
        """Say that everything known at the start has been applied."""
        for each in self._all:
            each.caught_up()

    def apply(self, event: Sent) -> None:
        """Take in a message; what is no digest is left out."""
        for memory, digests in zip(self._all, ((event.message,), (event.sender,), event.pairs), strict=True):
            for digest in digests:
                if digest:
                    memory.apply(Contact(customer=event.customer, digest=digest, at=event.at))

    def knows(self, customer: str, messages: Iterable[str], now: float) -> bool:
        """Return whether the customer sent one of these messages."""
        return any(self._messages.acquaintance(customer, each, now) is Acquaintance.KNOWN for each in messages)

    def wrote(self, customer: str, pairs: Iterable[str], now: float) -> bool:
        """Return whether one of these pairs is of one who wrote to the other."""
        return any(self._pairs.acquaintance(customer, each, now) is Acquaintance.KNOWN for each in pairs)

    def silent(self, customer: str, senders: Iterable[str], now: float) -> bool:
        """Return whether none of them is known to have sent anything, though enough is known of the customer."""
        known = [self._senders.acquaintance(customer, each, now) for each in senders]
        enough = self._messages.told(customer)
        return enough and bool(known) and Acquaintance.KNOWN not in known

    def told(self, customer: str) -> bool:
        """Return whether enough is known of what the customer sends to wonder at a message that isn't here."""
        return self._messages.told(customer)
