"""The destinations that there are: by name, and by the number that what waits for them carries."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Final

from schemas.events import Customer, Deferred, Host
from services.delivery.budget import Budget
from services.delivery.config import DeliveryConfig
from services.delivery.decide import goes_anywhere, hosts_of, where_of
from services.delivery.destination import Destination, Gate, Health, Probing
from services.delivery.shelf import Brief

ROUTES_MOST: Final = 10_000  # domains whose hosts are kept in mind: a customer may have thousands of them
SHARE: Final = 4  # one destination may take so many parts less of the memory for messages than there is


class Destinations:
    """A destination is made when something goes there, and forgotten when nothing is known of it any more."""

    def __init__(self, config: DeliveryConfig, customer: Callable[[str], Customer | None]) -> None:
        self._config = config
        self._customer = customer
        self._smarthost = config.smarthosts()
        self._probing = Probing(config.probe_first_seconds, config.probe_most_seconds)
        self._numbers = itertools.count(1)
        self._by_name: dict[str, Destination] = {}
        self._by_number: dict[int, Destination] = {}
        self._purses: dict[int, Budget] = {}
        self._routes: dict[tuple[str, str, str, bool, bool], tuple[Customer | None, tuple[Host, ...], str]] = {}

    def __iter__(self) -> Iterator[Destination]:
        return iter(self._by_number.values())

    def route(self, entry: Deferred | Brief) -> tuple[Customer | None, tuple[Host, ...]]:
        """Return the customer and the hosts that the entry goes to, as configured now."""
        return self._route(entry)[:2]

    def _route(self, entry: Deferred | Brief) -> tuple[Customer | None, tuple[Host, ...], str]:
        """Return the customer, the hosts, and the destination's name."""
        received = entry.disposition.received
        branch = entry.disposition.branches[entry.branch]
        asked = (received.customer, received.domain, branch.redirect_to)
        customer = self._customer(received.customer)
        anywhere = goes_anywhere(received)
        known = self._routes.get((*asked, anywhere, branch.encrypt))
        if known is not None and known[0] is customer:  # what was changed since is another object
            return known
        hosts = hosts_of(customer, *asked[1:], anywhere=anywhere, encrypt=branch.encrypt, smarthost=self._smarthost)
        if len(self._routes) >= ROUTES_MOST:
            self._routes.clear()
        found = (customer, hosts, where_of(hosts))
        self._routes[*asked, anywhere, branch.encrypt] = found
        return found

    def of(self, entry: Deferred | Brief) -> Destination:
        """Return the destination of an entry."""
        _, _, where = self._route(entry)
        customer = entry.disposition.received.customer
        name = f"{customer}/{where}"
        destination = self._by_name.get(name)
        if destination is None:
            gate = Gate(self._config.relay_connections, self._config.relay_connections_first)
            destination = Destination(next(self._numbers), customer, where, gate, Health(self._probing))
            self._by_name[name] = self._by_number[destination.number] = destination
        return destination

    def numbered(self, number: int) -> Destination:
        """Return the destination of that number; it is there as long as something waits for it."""
        return self._by_number[number]

    def purse(self, destination: Destination) -> Budget:
        """Return what the destination may hold of the memory: its messages wait for each other, not others for them."""
        if destination.number not in self._purses:
            self._purses[destination.number] = Budget(max(1, self._config.relay_memory_bytes // SHARE))
        return self._purses[destination.number]

    def forget(self, destination: Destination) -> None:
        """Let go of a destination for which nothing waits."""
        self._by_name.pop(destination.name, None)
        self._by_number.pop(destination.number, None)
        self._purses.pop(destination.number, None)
