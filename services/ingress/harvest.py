"""Who guesses addresses: recipients that don't exist, by client, network and sender. Pure, and bounded.

A client that is found out hears one temporary answer for every recipient, so that what it asks tells it nothing more;
a sender with an old list of addresses gets its mail through once the window has passed.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.core.networks import neighbours
from services.core.signals import Kind, Signals
from services.ingress.config import IngressConfig
from services.ingress.limits import Window


class Harvest:
    """The fast count of one process, and what the signals of all of them say."""

    def __init__(self, config: IngressConfig, signals: Signals) -> None:
        self._config = config
        self._signals = signals
        self._unknown = Window(config.harvest_window)
        self._known = Window(config.harvest_window)

    def suspected(self, ip: str, reverse_path: str, now: float) -> bool:
        """Return whether the client, its network or the sender has asked for too many that don't exist."""
        for kind, subject, most in self._subjects(ip, reverse_path):
            if self._signals.active(kind, subject, now) is not None:
                return True
            unknown = self._unknown.count(f"{kind} {subject}", now)
            known = self._known.count(f"{kind} {subject}", now)
            if unknown >= most and unknown >= self._config.harvest_share * (unknown + known):
                return True
        return False

    def asked(self, ip: str, reverse_path: str, now: float, *, exists: bool) -> None:
        """Count a recipient that the client asked for."""
        window = self._known if exists else self._unknown
        for kind, subject, _ in self._subjects(ip, reverse_path):
            window.add(f"{kind} {subject}", now)

    def _subjects(self, ip: str, reverse_path: str) -> Iterator[tuple[Kind, str, int]]:
        yield Kind.HARVEST_ADDRESS, ip, self._config.harvest_per_address
        yield Kind.HARVEST_NETWORK, neighbours(ip), self._config.harvest_per_network
        if reverse_path:  # bounces come to forged addresses from everywhere: the null sender is nobody
            yield Kind.HARVEST_SENDER, reverse_path.lower(), self._config.harvest_per_sender
