"""Which senders may send nothing at present. A view, without I/O: submission, policy and signals follow the topic."""

from __future__ import annotations

from typing import Final

from schemas.catalog import key_of
from schemas.events import Received, SenderHold
from services.core.direction import outbound

SIGNALS: Final = "signals"  # who holds by what it counted; everybody else is a person


class SenderHolds:
    """The last word on each sender. One writer: whoever follows the topic."""

    def __init__(self) -> None:
        self._said: dict[str, SenderHold] = {}

    def apply(self, hold: SenderHold) -> None:
        """Take in that a sender is held, or let go."""
        self._said[key_of(hold)] = hold

    def remove(self, key: str) -> None:
        """Take in a tombstone; a key that isn't there is fine."""
        self._said.pop(key, None)

    def held(self, customer: str, *names: str) -> SenderHold | None:
        """Return the hold on one of a customer's senders, None when each may send; case tells nobody apart."""
        for name in names:
            said = self._said.get(f"{customer}/{name.lower()}")
            if said is not None and said.held:
                return said
        return None

    def of(self, received: Received) -> SenderHold | None:
        """Return the hold on who sent a message, by its reverse-path or the account that signed in."""
        if not outbound(received):
            return None
        return self.held(received.customer, received.envelope.reverse_path, received.submitter)

    def spared(self, customer: str, sender: str, now: float) -> bool:
        """Return whether a sender was let go lately, so that nobody but a person holds it again."""
        said = self._said.get(f"{customer}/{sender}")
        return said is not None and not said.held and now < said.spared_until

    def all(self) -> list[SenderHold]:
        """Return all that are held, the latest first."""
        return sorted((said for said in self._said.values() if said.held), key=lambda said: -said.at)
