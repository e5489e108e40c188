"""What the signals app has told: who harvests addresses, who sends too much. A view, without I/O."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address

from schemas.catalog import key_of
from schemas.events import Signal
from services.core.networks import neighbours


class Kind(enum.StrEnum):
    """What a signal is about; its subject is named in the comment."""

    HARVEST_ADDRESS = "harvest-address"  # a client's address, as `address_of` writes it
    HARVEST_NETWORK = "harvest-network"  # the client's /24 or /64, as `network_of` writes it
    HARVEST_SENDER = "harvest-sender"  # a reverse-path in lower case; the null sender never
    ABUSE_RATE = "abuse-rate"  # a client's address
    CUSTOMER_RATE = "customer-rate"  # a customer's id
    LEDGER_IMBALANCE = "ledger-imbalance"  # a customer's id, and the partition that its lost messages lie in
    CUSTOMER_RECIPIENTS = "customer-recipients"  # a customer's id
    OUTBREAK = "outbreak"  # a fingerprint, which is no secret and says nothing of the message
    SUBMIT_ADDRESS = "submit-address"  # the address of a customer's client
    SUBMIT_SENDER = "submit-sender"  # a customer's reverse-path in lower case; the null sender never
    SUBMIT_CUSTOMER = "submit-customer"  # the id of a customer, for what it sends
    SENDER_CONDUCT = "sender-conduct"  # as SUBMIT_SENDER; never told as a signal: a hold follows
    ACCOUNT_CONDUCT = "account-conduct"  # the account that signed in, likewise


class Signals:
    """The signals that were told and not cleared away. One writer: whoever follows the topic."""

    def __init__(self) -> None:
        self._told: dict[str, Signal] = {}

    def apply(self, signal: Signal) -> None:
        """Take in a signal; a later one of the same kind and subject replaces it."""
        self._told[key_of(signal)] = signal

    def remove(self, key: str) -> None:
        """Take in a tombstone; a key that isn't there is fine."""
        self._told.pop(key, None)

    def active(self, kind: str, subject: str, now: float) -> Signal | None:
        """Return the signal that holds at `now`, seconds since the epoch; None when there is none or it has lapsed."""
        signal = self._told.get(f"{subject}/{kind}")
        return signal if signal is not None and now < signal.until else None

    def all_active(self, now: float) -> list[Signal]:
        """Return every signal that holds at `now`, the latest first."""
        return sorted((signal for signal in self._told.values() if now < signal.until), key=lambda s: -s.at)

    def lapsed(self, before: float) -> Iterator[str]:
        """Yield the key of every signal that lapsed before `before`; the view may change meanwhile."""
        yield from [key for key, signal in self._told.items() if signal.until < before]

    def __len__(self) -> int:
        return len(self._told)


def address_of(client_ip: str) -> str:
    """Return the address in its shortest form, an IPv4-mapped one as IPv4; raise ValueError when it is none."""
    address = ip_address(client_ip)
    mapped = None if isinstance(address, IPv4Address) else address.ipv4_mapped
    return str(mapped or address)


def network_of(client_ip: str) -> str:
    """Return the network that an address is blamed with: its /24, or its /64 for IPv6; raise ValueError as above."""
    return neighbours(address_of(client_ip))
